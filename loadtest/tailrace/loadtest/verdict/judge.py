"""Whether a run reached its objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.measure.latency_histogram import LatencyHistogram
from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.verdict.figure_text import told_apart
from tailrace.loadtest.verdict.objective import LAG, RATE, UNCORRECTED, Objective, Unit


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one objective was reached.

    Attributes:
        objective: what was to be reached.
        measured: the figure, in the objective's unit (shares from 0 to 1); None if there is none.
        passed: True if it was reached. A figure that there is not reaches nothing.
        why: why there is no figure; empty if there is one.
    """

    objective: Objective
    measured: float | None
    passed: bool
    why: str = ""

    @property
    def text(self) -> str:
        """The verdict in words, such as `p99<20ms: 23.4 ms`."""
        if self.measured is None:
            return f"{self.objective.text}: not measured, {self.why}"
        objective = self.objective
        told = told_apart(self.measured, objective.bound, objective.unit)
        return f"{objective.text}: {told}"


class _NoFigureError(Exception):
    """The run has no such figure; the text says why."""


def judge(objectives: Sequence[Objective], result: RunResult) -> list[Verdict]:
    """Returns a verdict for each objective, in order."""
    return [_judge(objective, result) for objective in objectives]


def _judge(objective: Objective, result: RunResult) -> Verdict:
    try:
        measured = _figure(objective, result)
    except _NoFigureError as error:
        return Verdict(objective, None, False, str(error))
    return Verdict(objective, measured, objective.met_by(measured))


def _figure(objective: Objective, result: RunResult) -> float:
    if result.lost:
        raise _NoFigureError("as only a part of the load was made: load processes were lost")
    if not result.tally.ended or not result.duration_ns:
        raise _NoFigureError("no call counts")
    if objective.unit is Unit.NS:
        return _latency(objective.figure, _latencies(objective.of, result))
    if objective.figure == RATE:
        return result.rps
    count, whole = _counted(objective.figure, result)
    if objective.unit is Unit.COUNT:
        return count
    if objective.unit is Unit.PER_SECOND:
        return count / result.duration_ns * 1e9
    return count / whole


def _latencies(of: str, result: RunResult) -> LatencyHistogram:
    tally = result.tally
    if of == LAG:
        if not tally.lag.count:
            raise _NoFigureError("calls were not due at instants of their own")
        return tally.lag
    if of and of != UNCORRECTED:
        span = _answers(result).span(of)
        if not span.count:
            raise _NoFigureError(f"no answer tells of {of}")
        return span
    latencies = tally.uncorrected if of else tally.corrected
    if not latencies.count:
        raise _NoFigureError("no call was answered")
    return latencies


def _latency(figure: str, latencies: LatencyHistogram) -> float:
    if figure == "mean":
        return latencies.mean_ns
    if figure == "min":
        return latencies.minimum_ns
    if figure == "max":
        return latencies.maximum_ns
    return latencies.percentile(float(figure[1:]))


def _counted(figure: str, result: RunResult) -> tuple[int, int]:
    """Returns a count, and of how many it is a part."""
    tally = result.tally
    if figure in ("errors", "ok"):
        return (tally.failed if figure == "errors" else tally.ended - tally.failed), tally.ended
    answers = _answers(result)
    if figure in ("goodput", "degraded", "late"):
        requests = answers.requests(tally.failed)
        if not requests:
            raise _NoFigureError("no prediction was asked for")
        count = answers.good if figure == "goodput" else getattr(answers, figure)
        return int(count), requests
    if not answers.answered:
        raise _NoFigureError("no prediction was made")
    return answers.qualities.get(figure.upper(), 0), answers.answered


def _answers(result: RunResult) -> HopTally:
    if not isinstance(result.tally.answers, HopTally):
        raise _NoFigureError("the answers were not read for hops and quality")
    return result.tally.answers
