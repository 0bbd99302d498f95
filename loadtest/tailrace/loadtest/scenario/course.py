"""What a scenario came to, from its first call to its last."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.scenario.knee import Knee, Step
from tailrace.loadtest.scenario.machine_use import MachineUse
from tailrace.loadtest.scenario.memory import MemorySeries
from tailrace.loadtest.scenario.pace import PaceSeries
from tailrace.loadtest.scenario.receiver_process import Account, Deliveries


@dataclass(slots=True)
class Course:
    """What a scenario came to.

    Attributes:
        began: when the first call was due, in seconds on the monotonic clock.
        results: of the loads, by name, in the order of the file; of a search, its last step that
            held.
        happened: what happened to the mesh, in words, and how many seconds after the begin.
        pace: of the machine, and of the mesh on it; empty where nobody asked for it, or the mesh is
            somebody else's.
        memory: of the mesh's processes; empty where nobody asked for it.
        knee: what a search found; None without one.
        deliveries: what the receiver took; None without submissions.
        account: that against what was acknowledged.
        machine: who used this machine meanwhile; None where the mesh is somebody else's.
        ended: processes that have ended by themselves.
        interrupted: True if it was.
    """

    began: float
    results: dict[str, RunResult] = field(default_factory=dict)
    happened: list[tuple[str, float]] = field(default_factory=list)
    pace: PaceSeries = field(default_factory=PaceSeries)
    memory: MemorySeries = field(default_factory=MemorySeries)
    knee: Knee | None = None
    deliveries: Deliveries | None = None
    account: Account | None = None
    machine: MachineUse | None = None
    ended: list[str] = field(default_factory=list)
    interrupted: bool = False


def short_text(result: RunResult) -> str:
    """Returns a run in a few words: calls, rate, p50 and p99, failures."""
    tally = result.tally
    p50, p99 = tally.corrected.percentiles([50, 99])
    failed = f", {tally.failed:,} failed" if tally.failed else ""
    return (
        f"{tally.ended:,} calls, {result.rps:,.1f}/s, p50 {p50 / 1e6:.1f} ms, "
        f"p99 {p99 / 1e6:.1f} ms{failed}"
    )


def step_text(step: Step) -> str:
    """Returns a step of a search in a line."""
    word = "holds" if step.holds else f"does not hold: {step.why}"
    generator = " (the generator was the limit)" if step.generator else ""
    return f"{step.rate:,.0f}/s: {short_text(step.result)}: {word}{generator}"
