"""What the summary tells of the generator itself."""

from __future__ import annotations

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.report.go_forms import latency


def generator_lines(result: RunResult) -> list[str]:
    """Returns whether the generator was the limit, how late it sent calls, and what it cost."""
    lines = []
    if result.limit.limited:
        lines.append(f"  the generator, not the server, was the limit: {result.limit.why}")
    lag = result.tally.lag
    if lag.count:
        median, most = lag.percentiles([50, 99])
        lines.append(
            f"  calls were sent late by {latency(median)} (50 %), {latency(most)} (99 %),"
            f" {latency(lag.maximum_ns)} at most"
        )
    if result.tally.cpu_ns and result.tally.ended:
        lines.append(
            f"  {cpu_per_call_ns(result) / 1e3:.1f} µs of processor time a call{_shares(result)}"
        )
    return ["Generator:", *lines] if lines else []


def cpu_per_call_ns(result: RunResult) -> float:
    """Returns the processor time that a call took of the generator; 0 if there was no call."""
    tally = result.tally
    calls = tally.ended + tally.skipped
    return tally.cpu_ns / calls if calls else 0.0


def _shares(result: RunResult) -> str:
    shares = [
        f"{process.cpu_ns / process.wall_ns:.0%}"
        for process in result.processes or [result.tally]
        if process.wall_ns
    ]
    if not shares:
        return ""
    processes = "a process" if len(shares) == 1 else f"{len(shares)} processes"
    return f", in {processes} at {', '.join(shares)} of a core"
