"""Whether both tools tell the same of the same server at the same load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tailrace.loadtest.bench.ghz.tool_run import Tool, ToolRun
from tailrace.loadtest.bench.spread import Spread

# The furthest that the ratio of ours to ghz's may be from one, either way.
BOUNDS = {"rate": 0.03, "p50": 0.10, "p99": 0.10}

Runner = Callable[[Tool, Sequence[str]], ToolRun]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far apart the tools are.

    Attributes:
        loop: `closed` or `open`.
        ratios: ours to ghz's, by figure.
        calls: that each run made.
    """

    loop: str
    ratios: Mapping[str, Spread]
    calls: int

    @property
    def holds(self) -> bool:
        """True if each median is within its bound."""
        return all(abs(self.ratios[name].median - 1) <= bound for name, bound in BOUNDS.items())


def compare(
    ours: Tool, ghz: Tool, run: Runner, *, rate: int, calls: int, pairs: int
) -> list[Agreement]:
    """Runs both in turn, at a rate, with callers that wait for answers and with such that do not.

    Args:
        ours: `tailrace load`.
        ghz: ghz.
        run: runs a tool with some flags.
        rate: calls a second.
        calls: of each run.
        pairs: runs of each.
    """
    found = []
    for loop in ("closed", "open"):
        flags = ["-r", str(rate), "-n", str(calls), "-c", "50", "--connections", "4", "-O", "json"]
        flags += ["--async"] if loop == "open" else []
        ratios: dict[str, list[float]] = {name: [] for name in BOUNDS}
        for place in range(pairs):
            # Each goes first as often as the other.
            turn = (ours, ghz) if place % 2 else (ghz, ours)
            figures = {tool.name: figures_of(run(tool, flags).document(), calls) for tool in turn}
            for name in BOUNDS:
                ratios[name].append(figures[ours.name][name] / figures[ghz.name][name])
        spreads = {name: Spread.of(values) for name, values in ratios.items()}
        found.append(Agreement(loop, spreads, calls))
    return found


def figures_of(report: Mapping[str, Any], calls: int) -> dict[str, float]:
    """Reads a report as a script that was written for ghz's does.

    Args:
        report: ghz's JSON, or ours.
        calls: that were to be made.

    Returns:
        Rate in calls a second, p50 and p99 in nanoseconds.

    Raises:
        RuntimeError: some calls were not made, or not answered.
    """
    if report["count"] != calls or report["statusCodeDistribution"] != {"OK": calls}:
        raise RuntimeError(f"{report['count']} calls: {report['statusCodeDistribution']}")
    latencies = {each["percentage"]: each["latency"] for each in report["latencyDistribution"]}
    return {"rate": report["rps"], "p50": latencies[50], "p99": latencies[99]}
