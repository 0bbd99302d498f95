"""Whether both tools tell the same of the same server at the same load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tailrace.loadtest.bench.ghz.tool_run import Tool, ToolRun
from tailrace.loadtest.bench.ghz.workloads import Workload
from tailrace.loadtest.bench.spread import Spread

# The furthest that the ratio of ours to ghz's may be from one, either way.
BOUNDS = {"rate": 0.03, "p50": 0.10, "p99": 0.10, "messages": 0.03}

Runner = Callable[[Tool, Workload, Sequence[str]], ToolRun]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far apart the tools are.

    Attributes:
        workload: its name.
        ratios: ours to ghz's, by figure; `messages` are those that the server read.
        calls: that each run made.
    """

    workload: str
    ratios: Mapping[str, Spread]
    calls: int

    @property
    def holds(self) -> bool:
        """True if each median is within its bound."""
        return all(abs(self.ratios[name].median - 1) <= bound for name, bound in BOUNDS.items())


def compare(
    ours: Tool, ghz: Tool, run: Runner, workload: Workload, *, rate: int, calls: int, pairs: int
) -> Agreement:
    """Runs both in turn, at a rate.

    The latency of a stream is that of the whole call, for both: from before its headers are sent
    until its status is there.

    Args:
        ours: `tailrace load`.
        ghz: ghz.
        run: runs a tool with some flags.
        workload: what is called.
        rate: calls a second.
        calls: of each run.
        pairs: runs of each.
    """
    flags = ["-r", str(rate), "-n", str(calls), "-c", "50", "--connections", "4", "-O", "json"]
    ratios: dict[str, list[float]] = {name: [] for name in BOUNDS}
    for place in range(pairs):
        # They take turns in going first.
        turn = (ours, ghz) if place % 2 else (ghz, ours)
        figures = {}
        for tool in turn:
            done = run(tool, workload, flags)
            figures[tool.name] = figures_of(done.document(), calls, workload.status)
            figures[tool.name]["messages"] = done.served.messages
        for name in BOUNDS:
            ratios[name].append(figures[ours.name][name] / figures[ghz.name][name])
    spreads = {name: Spread.of(values) for name, values in ratios.items()}
    return Agreement(workload.name, spreads, calls)


def figures_of(report: Mapping[str, Any], calls: int, status: str) -> dict[str, float]:
    """Reads a report as a script that was written for ghz's does.

    Args:
        report: ghz's JSON, or ours.
        calls: that were to be made.
        status: what each of them had to end with.

    Returns:
        Rate in calls a second, p50 and p99 in nanoseconds.

    Raises:
        RuntimeError: some calls were not made, or ended with something else.
    """
    if report["count"] != calls or report["statusCodeDistribution"] != {status: calls}:
        raise RuntimeError(f"{report['count']} calls: {report['statusCodeDistribution']}")
    latencies = {each["percentage"]: each["latency"] for each in report["latencyDistribution"]}
    return {"rate": report["rps"], "p50": latencies[50], "p99": latencies[99]}
