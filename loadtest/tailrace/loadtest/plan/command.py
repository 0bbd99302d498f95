"""`tailrace load plan`: how many replicas of what a rate needs, at a p99."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from tailrace.cli.local.scrape_targets import scrape_targets
from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.process_usage import ProcessUsage
from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.exit_status import GOOD
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.options.written_file import written_file
from tailrace.loadtest.plan.arguments import PlanArguments, parse_plan
from tailrace.loadtest.plan.cost_model import check, needs, usable_share
from tailrace.loadtest.plan.measuring import Meter
from tailrace.loadtest.plan.plan_report import Plan, plan_json, plan_lines, warnings_of
from tailrace.loadtest.plan.point import Point
from tailrace.loadtest.plan.request_costs import ConvoyRates, fit_costs
from tailrace.loadtest.plan.scrape import Deployment, read_targets_file
from tailrace.loadtest.scenario.command import run_until_signalled
from tailrace.loadtest.scenario.course import step_text
from tailrace.loadtest.scenario.knee import Bounds, Knee, find_knee
from tailrace.loadtest.scenario.place import Place, read_pipelines
from tailrace.loadtest.scenario.request_files import RowFiles
from tailrace.loadtest.scenario.scenario_mesh import ScenarioMesh, prepared_example, running_mesh
from tailrace.runtime.config import LauncherSettings, load_settings

_NARROW = 2
_WARM_S = 2.0
# The largest rate of a line is at least so many times its least.
_SPAN = 2.0
# Where between nothing and the knee the second measurement is made.
_CHECK_SHARE = 0.7
Tell = Callable[[str], None]


def main(argv: Sequence[str]) -> int:
    """Runs the command, and returns its exit status.

    Args:
        argv: arguments behind `tailrace load plan`.

    Returns:
        0, or 130 if it was interrupted.

    Raises:
        LoadError: it cannot be done as asked for, or no rate keeps the p99; status 2.
    """
    arguments = parse_plan(argv)
    return run_until_signalled(lambda meshes: _run(arguments, meshes))


@dataclass(frozen=True, slots=True)
class _Site:
    """A deployment that runs, from both sides."""

    options: LoadOptions
    deployment: Deployment
    shared: bool

    def meter(self, seconds: float) -> Meter:
        return Meter(self.options, self.deployment, shared=self.shared, seconds=seconds)


async def _run(arguments: PlanArguments, meshes: list[ScenarioMesh]) -> int:
    console = Console(stderr=True)

    def tell(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    async with _site(arguments, Steps(console), meshes) as site:
        plan = await _plan(arguments, site, tell)
        if not arguments.check_replicas:
            rate = _check_rate(plan)
            tell(f"checking at {rate:,.0f}/s")
            meter = site.meter(arguments.step)
            await meter.at(rate)
            plan = _checked(plan, meter.points[0], f"{rate:,.0f}/s")
    if arguments.check_replicas:
        told = ", ".join(f"{hop}={count}" for hop, count in arguments.check_replicas.items())
        async with _site(arguments, Steps(console), meshes, arguments.check_replicas) as site:
            rate = _check_rate(plan)
            tell(f"checking at {rate:,.0f}/s with {told}")
            await site.meter(_WARM_S).at(rate)
            meter = site.meter(arguments.step)
            await meter.at(rate)
            plan = _checked(plan, meter.points[0], f"{rate:,.0f}/s, {told}")
    with written_file(None) as out:
        out.writelines(f"{line}\n" for line in plan_lines(plan))
    if arguments.json_file is not None:
        with written_file(arguments.json_file) as out:
            json.dump(plan_json(plan), out, indent=2)
            out.write("\n")
    return GOOD


async def _plan(arguments: PlanArguments, site: _Site, tell: Tell) -> Plan:
    tell("warming up")
    await site.meter(_WARM_S).at(arguments.start)
    meter = site.meter(arguments.step)
    knee = Knee(Bounds(arguments.p99_ns, arguments.errors))
    await find_knee(
        meter.at,
        knee,
        start=arguments.start,
        factor=arguments.factor,
        narrow=_NARROW,
        max_rps=arguments.max_rps,
        tell=lambda step: tell(step_text(step)),
    )
    if knee.held is None:
        last = knee.steps[-1]
        raise LoadError(
            f"no rate keeps a p99 of {arguments.p99_ns / 1e6:g} ms: {last.why} at {last.rate:g}/s",
            "more replicas do not make a single request faster; ask for a longer p99",
        )
    points = [
        replace(point, held=step.holds)
        for point, step in zip(meter.points, knee.steps, strict=True)
    ]
    held = [point for point in points if point.held]
    if max(point.rate for point in held) < _SPAN * min(point.rate for point in held):
        # A line through rates beside each other says little of what idling costs.
        await meter.at(float(f"{knee.capacity / _SPAN**2:.3g}"))
        points.append(meter.points[-1])
        held.append(meter.points[-1])
    best = max(held, key=lambda point: point.rate)
    costs, convoys = fit_costs(held), ConvoyRates(held)
    utilisation = arguments.utilisation or usable_share(best)
    try:
        needed = needs(costs, convoys, best.processes, arguments.rate, utilisation)
    except ValueError as error:
        raise LoadError(str(error), "allow more with --utilisation, or a longer --p99") from error
    warnings = warnings_of(points, best, arguments.rate)
    if knee.failed is None:
        warnings.append("the p99 was kept up to --max-rps: the knee lies further up")
    elif knee.failed.generator:
        warnings.append("the generator was the limit, not the deployment: try --cpus 2")
    return Plan(
        rate=arguments.rate,
        p99_ns=arguments.p99_ns,
        points=points,
        knee=best,
        costs=costs,
        convoys=convoys,
        utilisation=utilisation,
        given=bool(arguments.utilisation),
        needs=needed,
        warnings=warnings,
    )


def _check_rate(plan: Plan) -> float:
    """Returns a rate below the knee, away from those that were measured."""
    return float(f"{plan.knee.rate * _CHECK_SHARE:.3g}")


def _checked(plan: Plan, point: Point, how: str) -> Plan:
    held = [one for one in plan.points if one.held]
    checks = check(plan.costs, plan.convoys, held, point)
    return replace(plan, checked=point, checks=checks, checked_how=how)


@contextlib.asynccontextmanager
async def _site(
    arguments: PlanArguments,
    steps: Steps,
    meshes: list[ScenarioMesh],
    replicas: dict[str, int] | None = None,
) -> AsyncIterator[_Site]:
    settings = load_settings(LauncherSettings)
    load = arguments.load
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-plan-")))
        mesh, prepared = None, None
        if arguments.target:
            gateway, metrics = arguments.target, arguments.metrics
            shared = _is_here(gateway)
            usage = ProcessUsage({}) if shared else None
            if not load.own_data:
                prepared = await prepared_example(arguments.mesh.example, steps)
        else:
            running = running_mesh(arguments.mesh, steps, submissions=False, replicas=replicas)
            mesh = await stack.enter_async_context(running)
            meshes.append(mesh)
            prepared, gateway, shared = mesh.prepared, mesh.gateway_target, True
            state = mesh.state(())
            file = folder / "targets.json"
            file.write_text(scrape_targets(state))
            # Nothing is asked of these, and Triton tells no CPU time.
            metrics = [
                one for one in read_targets_file(file) if one.service not in ("triton", "events")
            ]
            usage = ProcessUsage(
                {one.name: [one.pid] for one in state.processes if one.name in ("redis", "triton")}
            )
        served = read_pipelines(prepared.example.pipelines_dir) if prepared else {}
        place = Place(
            gateway=gateway,
            events=mesh.mesh_processes["events"].target
            if mesh is not None and "events" in mesh.mesh_processes
            else "",
            mesh=mesh,
            pipelines=served,
            rows=RowFiles(prepared, served, folder) if prepared and not load.own_data else None,
            folder=folder,
            transport=settings,
        )
        if mesh is not None:
            await place.feed_events()
        yield _Site(place.options(load), Deployment(metrics, usage), shared)


def _is_here(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
