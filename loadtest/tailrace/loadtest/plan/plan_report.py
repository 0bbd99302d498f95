"""How many replicas a rate needs, with the arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tailrace.loadtest.plan.cost_model import (
    MAX_UTILISATION,
    Check,
    Need,
    machine_was_the_limit,
)
from tailrace.loadtest.plan.point import GATEWAY, Point
from tailrace.loadtest.plan.request_costs import ConvoyRates, Cost
from tailrace.loadtest.plan.scrape import TRITON

# One thread does the work, and another server of the kind is not simply set beside it.
_ONE_THREAD = ("redis", "queue-redis")
_MS = 1e3
# So much of a machine may be used by what is not asked about, before it is told.
_BUSY = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was measured, what follows, and how far that was off.

    Attributes:
        rate: predictions a second that are asked for.
        p99_ns: latency that 99 % have to keep.
        points: what was measured.
        knee: the largest rate that kept it.
        costs: of requests, by service.
        convoys: how many a gateway makes.
        utilisation: share of a core that each process may use.
        given: whether that was given, and not measured.
        needs: what follows.
        checked: the second measurement; None if there was none.
        checks: predictions against it.
        checked_how: what was different there, in words.
        warnings: what stands against all this.
    """

    rate: float
    p99_ns: float
    points: Sequence[Point]
    knee: Point
    costs: Mapping[str, Cost]
    convoys: ConvoyRates
    utilisation: float
    given: bool
    needs: Sequence[Need]
    checked: Point | None = None
    checks: Sequence[Check] = ()
    checked_how: str = ""
    warnings: Sequence[str] = field(default_factory=list)

    @property
    def largest_error(self) -> float:
        """The largest error of a service's, or of all services', CPU; a share."""
        return max((abs(one.error) for one in self.checks if one.unit == "cores"), default=0.0)


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yields the plan, a line at a time."""
    yield f"for {plan.rate:,.0f} predictions/s at a p99 of {plan.p99_ns / 1e6:g} ms"
    yield ""
    yield "1. measured (cores: seconds of CPU a second)"
    yield from _measured(plan)
    yield ""
    yield (
        "2. what requests cost: cores = idle * processes + convoy * convoys/s + row * rate, "
        "by least squares"
    )
    yield from _costs(plan)
    yield ""
    yield "3. how busy a process may be"
    yield from _utilisation(plan)
    yield ""
    yield f"4. processes needed: work / ({plan.utilisation:.2f} - idle)"
    yield from _convoys(plan)
    for need in plan.needs:
        yield _need(need)
    total = sum(need.cores for need in plan.needs)
    processes = sum(need.needed for need in plan.needs)
    yield f"   together     {processes} processes, {total:.1f} cores busy"
    if plan.checked is not None:
        yield ""
        yield f"5. checked with a measurement that is no part of this: {plan.checked_how}"
        for check in plan.checks:
            yield (
                f"   {check.name:12} predicted {check.predicted:8.3f} {check.unit}, measured "
                f"{check.measured:8.3f} {check.unit}, error {check.error:+.1%}"
            )
    if plan.warnings:
        yield ""
        yield from (f"note: {warning}" for warning in plan.warnings)


def _measured(plan: Plan) -> Iterator[str]:
    names = list(plan.costs)
    header = "   ".join(f"{name:>11}" for name in names)
    yield (
        f"   {'rate':>8}  {'p99 ms':>8}   {header}   "
        f"{'generator':>9}   {'others':>6}   {'machine':>9}  rows/convoy"
    )
    for point in sorted(plan.points, key=lambda point: point.rate):
        cores = "   ".join(f"{point.cores[name]:11.3f}" for name in names)
        machine = (
            f"{point.machine:.2f} of {point.machine_cores}" if point.machine_cores else "elsewhere"
        )
        yield (
            f"   {point.rate:8,.0f}  {point.p99_ns / 1e6:8.1f}   {cores}   "
            f"{point.generator:9.3f}   {point.others:6.3f}   {machine:>9}  "
            f"{point.convoy_rows:11.1f}{'' if point.held else '   p99 not kept: left out'}"
        )
    hops = plan.knee.hop_ms
    if hops:
        told = ", ".join(f"{hop} {ms:.1f}" for hop, ms in hops.items())
        yield f"   mean time in hops at {plan.knee.rate:,.0f}/s, in ms: {told}"


def _utilisation(plan: Plan) -> Iterator[str]:
    if plan.given:
        yield f"   {plan.utilisation:.2f} of a core, as was asked for"
        return
    name, share = plan.knee.busiest
    yield (
        f"   the largest rate that kept the p99 was {plan.knee.rate:,.0f}/s: p99 "
        f"{plan.knee.p99_ns / 1e6:.1f} ms"
    )
    yield f"   busiest there was {name}: {share:.2f} of a core for each process"
    if plan.knee.machine_cores:
        yield (
            f"   the machine's {plan.knee.machine_cores} cores were busy by "
            f"{plan.knee.machine_share:.2f}, of which the generator took "
            f"{plan.knee.generator:.2f} cores, and other programs {plan.knee.others:.2f}"
        )
    if plan.knee.utilisation > MAX_UTILISATION:
        yield f"   so a process may use {plan.utilisation:.2f} of a core: no more is planned with"
    else:
        yield f"   so a process may use {plan.utilisation:.2f} of a core"


def _costs(plan: Plan) -> Iterator[str]:
    for service, cost in plan.costs.items():
        each = cost.work(plan.knee.rate, plan.knee.convoys) / plan.knee.rate
        yield (
            f"   {service:12} idle {cost.idle:.3f} cores a process, "
            f"{cost.per_convoy_s * _MS:.3f} ms of CPU a convoy, "
            f"{cost.per_row_s * _MS:.3f} ms a row: "
            f"{each * _MS:.3f} ms a request at {plan.knee.rate:,.0f}/s"
        )


def _convoys(plan: Plan) -> Iterator[str]:
    gateways = next((need.needed for need in plan.needs if need.service == GATEWAY), 0)
    convoys = plan.needs[0].convoys
    if gateways and convoys:
        yield (
            f"   {gateways} {'gateways of' if gateways > 1 else 'gateway of'} "
            f"{plan.rate / gateways:,.0f}/s "
            f"{'make' if gateways > 1 else 'makes'} {convoys:,.0f} convoys/s, of "
            f"{plan.rate / convoys:.1f} rows"
        )


def _need(need: Need) -> str:
    cost = need.cost
    parts = [f"{cost.per_row_s * _MS:.3f} ms * {need.rate:,.0f}/s"]
    if need.convoys:
        parts.insert(0, f"{cost.per_convoy_s * _MS:.3f} ms * {need.convoys:,.0f}/s")
    text = (
        f"   {need.service:12} {' + '.join(parts)} = {need.work:.2f} cores; / {need.left:.2f} = "
        f"{need.work / need.left:.2f}: {need.needed}"
    )
    if need.service in _ONE_THREAD:
        text += " (one thread: more than one is a cluster)" if need.needed > 1 else " (one thread)"
    elif need.service == TRITON:
        text += " (cores, of one server or several)"
    return f"{text}; present {need.present}"


def warnings_of(points: Sequence[Point], knee: Point, rate: float) -> list[str]:
    """Returns what stands against a plan."""
    found = []
    if knee.machine_cores:
        found.append(
            "the deployment, the generator and all else shared this machine's "
            f"{knee.machine_cores} cores: the CPU of each service is its own, but the p99 is that "
            "of a busy machine; with a core for each process it is at least as good"
        )
    if knee.others > _BUSY * knee.machine_cores:
        found.append(
            f"other programs took {knee.others:.2f} of the machine's {knee.machine_cores} cores: "
            "without them, the p99 would be kept at a larger rate, where requests cost less"
        )
    if machine_was_the_limit(knee):
        found.append("all of the machine's cores were busy: no single service was the limit")
    if rate > 20 * knee.rate:
        found.append(
            f"{rate:,.0f}/s is {rate / knee.rate:.0f} times what was measured: measure again "
            "when a part of it is in place"
        )
    return found


def plan_json(plan: Plan) -> dict[str, Any]:
    """Returns the plan for programs: cores, seconds, and nanoseconds where names say so."""
    return {
        "rps": plan.rate,
        "p99_ns": plan.p99_ns,
        "measured": [asdict(point) for point in plan.points],
        "knee_rps": plan.knee.rate,
        "utilisation": plan.utilisation,
        "convoys_per_second": plan.needs[0].convoys,
        "services": {
            need.service: {
                "idle_cores": need.cost.idle,
                "cpu_s_per_convoy": need.cost.per_convoy_s,
                "cpu_s_per_row": need.cost.per_row_s,
                "cpu_s_per_request": need.work / need.rate,
                "present": need.present,
                "needed": need.needed,
                "cores": need.cores,
            }
            for need in plan.needs
        },
        "check": {
            "how": plan.checked_how,
            "rps": plan.checked.rate,
            "largest_cpu_error": plan.largest_error,
            "figures": [{**asdict(one), "error": one.error} for one in plan.checks],
        }
        if plan.checked is not None
        else None,
        "notes": list(plan.warnings),
    }
