"""The command line of `tailrace load plan`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.file_checks import check_readable, check_writable
from tailrace.loadtest.plan.scrape import ScrapeTarget, read_targets_file
from tailrace.loadtest.scenario.arguments import Parser, number_between, parse_length
from tailrace.loadtest.scenario.load_section import LoadSection
from tailrace.loadtest.scenario.mesh_section import MeshSection
from tailrace.runtime.placement import HOPS

_USAGE = (
    "tailrace load plan --p99 20ms --rps 5000 "
    "[--target HOST:PORT --targets-file FILE|--metrics HOST:PORT,...]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanArguments:
    """What was asked for.

    Attributes:
        p99_ns: latency that 99 % have to keep, in nanoseconds.
        rate: predictions a second that are asked for.
        errors: largest share of failed calls, 0 to 1.
        target: `HOST:PORT` of a gateway that runs; empty for a mesh of its own.
        metrics: where the processes of that deployment tell their metrics.
        mesh: how the mesh of its own is started.
        load: what is called.
        start: first rate.
        factor: by what each further one is multiplied.
        step: how long each rate lasts, in seconds.
        max_rps: rate at which it stops.
        utilisation: share of a core that each process may use; 0 for what is measured.
        check_replicas: whether the second measurement is of a mesh with another number of replicas.
        json_file: where the plan is written for programs.
    """

    p99_ns: float
    rate: float
    errors: float
    target: str
    metrics: Sequence[ScrapeTarget]
    mesh: MeshSection
    load: LoadSection
    start: float
    factor: float
    step: float
    max_rps: float
    utilisation: float
    check_replicas: dict[str, int]
    json_file: Path | None


def parse_plan(argv: Sequence[str]) -> PlanArguments:
    """Returns what was asked for. Raises LoadError where that cannot be done."""
    given = _parser().parse_args(argv)
    metrics = [ScrapeTarget(*reversed(_named(text))) for text in _split(given.metrics)]
    if given.targets_file is not None:
        metrics += read_targets_file(given.targets_file)
    if given.target and not metrics:
        raise LoadError(
            "what the processes use is read from their metrics, and none is named",
            "--targets-file .tailrace/meshes/NAME/prometheus-targets.json, or --metrics HOST:PORT",
        )
    if metrics and not given.target:
        raise LoadError("metrics are named, and no gateway", "--target HOST:PORT")
    if given.target and given.check_replicas:
        raise LoadError("--check-replicas is for a mesh that the plan starts", "leave --target out")
    if given.start > given.max_rps:
        raise LoadError(
            f"--start {given.start:g} is beyond --max-rps {given.max_rps:g}", "no rate is left"
        )
    if given.json is not None:
        check_writable("--json", given.json)
    if given.data_file is not None:
        check_readable("--data-file", given.data_file)
    return PlanArguments(
        p99_ns=given.p99.total_seconds() * 1e9,
        rate=given.rps,
        errors=given.errors / 100,
        target=given.target,
        metrics=metrics,
        mesh=MeshSection.model_validate(
            {"example": given.mesh, "workers": given.workers, "submissions": False}
        ),
        load=LoadSection.model_validate(
            {
                "name": "plan",
                "pipeline": given.pipeline,
                "data": given.data,
                "data-file": given.data_file,
                "connections": given.connections,
                "cpus": given.cpus,
            }
        ),
        start=given.start,
        factor=given.factor,
        step=given.step.total_seconds(),
        max_rps=given.max_rps,
        utilisation=given.utilisation,
        check_replicas=_replicas(given.check_replicas),
        json_file=given.json,
    )


def _parser() -> Parser:
    parser = Parser(prog="tailrace load plan", usage=_USAGE)
    add, data = parser.add_argument, parser.add_mutually_exclusive_group().add_argument
    rate, count = number_between(0.1, 1e9), _count
    add("--p99", type=parse_length, required=True, help="latency that 99 %% have to keep")
    add("--rps", type=rate, required=True, help="predictions a second that are asked for")
    add("--target", default="", help="gateway of a deployment that runs; without, one is started")
    add("--metrics", default="", help="[SERVICE=]HOST:PORT,… where its processes tell metrics")
    add("--targets-file", type=Path, help="the same as Prometheus reads it; tailrace up writes one")
    add("--mesh", type=Path, default=Path("examples/flights"), metavar="FOLDER",
        help="example to start a mesh with, and to take rows from")  # fmt: skip
    add("--workers", type=count, default=1, help="processes of the gateway of a mesh of its own")
    add("--pipeline", default="flight-delay", help="pipeline to ask")
    data("--data", default="", help="JSON requests in place of the example's rows")
    data("--data-file", type=Path, help="file with the same")
    add("--connections", type=count, default=8, help="connections of the generator")
    add("--cpus", type=count, default=1, help="processes of the generator")
    add("--errors", type=number_between(0, 100), default=0.5, metavar="PERCENT",
        help="largest share of failed calls, in percent")  # fmt: skip
    add("--start", type=rate, default=60.0, help="first rate")
    add("--factor", type=number_between(1.05, 100), default=1.6,
        help="by what each further rate is multiplied")  # fmt: skip
    add("--step", type=parse_length, default=timedelta(seconds=4), help="how long each lasts")
    add("--max-rps", type=rate, default=100_000.0, help="rate at which it stops")
    add("--utilisation", type=number_between(0, 1), default=0.0,
        help="share of a core a process may use, 0 to 1; by default, what is measured")  # fmt: skip
    add("--check-replicas", default="", metavar="HOP=N,…",
        help="check with a second mesh that has these replicas")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write the plan for programs")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1 to 64")
    return int(text)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _named(text: str) -> tuple[str, str]:
    name, _, address = text.rpartition("=")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise LoadError(f"--metrics {text!r} is no HOST:PORT", "such as 127.0.0.1:9100")
    return name, address


def _replicas(text: str) -> dict[str, int]:
    found = {}
    for part in _split(text):
        hop, _, count = part.partition("=")
        if hop not in HOPS or not count.isdigit() or int(count) < 1:
            known = ", ".join(HOPS)
            raise LoadError(f"--check-replicas {part!r} is no HOP=N", f"hops are {known}")
        found[hop] = int(count)
    return found
