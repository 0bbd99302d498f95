"""Tries a mesh with rows whose outcome is known: how well it predicts, and how fast."""

from __future__ import annotations

import collections
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.cli.auc import area_under_curve
from tailrace.cli.held_out import HeldOutRow
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.progress import Step
from tailrace.client import AsyncClient, Prediction, PredictionError

# Some calls open connections and fill caches; they are not counted.
_WARM_UP_CALLS = 20

# How many rows are asked for one at a time, for the latency; the rest goes in batches.
LATENCY_ROWS = 500
_BATCH_ROWS = 100

_TIMEOUT_S = 5.0

# A busy machine loses some predictions to their deadline; a mesh that loses more is broken.
_TOLERATED_FAILURES = 0.1


class TrialFailed(LaunchError):
    """A mesh does not answer as it should.

    Attributes:
        asked: how many predictions were asked for.
        failures: how many calls failed, by what they failed with.
    """

    def __init__(self, asked: int, failures: dict[str, int], first: PredictionError) -> None:
        self.asked = asked
        self.failures = failures
        super().__init__(
            f"{sum(failures.values())} of {asked} predictions failed: {tell_failures(failures)}. "
            f"The first: {first}"
        )


def tell_failures(failures: Mapping[str, int]) -> str:
    """Returns the failures in words, such as `3 DEADLINE_EXCEEDED, 1 UNAVAILABLE`."""
    return ", ".join(f"{count} {kind}" for kind, count in failures.items())


@dataclass(frozen=True)
class Outcome:
    """One row and its prediction.

    Attributes:
        row: what was asked.
        prediction: the answer.
        latency_ms: what the caller waited, in milliseconds.
    """

    row: HeldOutRow
    prediction: Prediction
    latency_ms: float


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of trying a mesh.

    Attributes:
        outcomes: the rows that got a prediction.
        measured: those of them that were asked one after the other; the others were asked
            in batches.
        failures: how many calls failed, by what they failed with.
        score: the output that ranks the rows.
        seconds: how long all of it took.
    """

    outcomes: Sequence[Outcome]
    measured: Sequence[Outcome]
    failures: Mapping[str, int]
    score: str
    seconds: float

    @property
    def auc(self) -> float:
        """Area under the ROC curve over `outcomes`; NaN if they are all of one class."""
        labels = [outcome.row.positive for outcome in self.outcomes]
        if len(set(labels)) < 2:
            return float("nan")
        scores = [float(self._score(outcome)) for outcome in self.outcomes]
        return area_under_curve(labels, scores)

    @property
    def base_rate(self) -> float:
        """Share of positives among `outcomes`."""
        return statistics.fmean(outcome.row.positive for outcome in self.outcomes)

    @property
    def qualities(self) -> dict[str, int]:
        """How many predictions were of which quality."""
        counts = collections.Counter(o.prediction.quality.name for o in self.outcomes)
        return dict(counts.most_common())

    @property
    def unattributed_share(self) -> float:
        """Median share of a prediction's time that no hop accounts for, one at a time."""
        ledgers = [outcome.prediction.ledger for outcome in self.measured]
        return statistics.median(ledger.unattributed_ms / ledger.total_ms for ledger in ledgers)

    def latency_ms(self, percent: float) -> float:
        """Returns the latency that `percent` of the calls made one at a time kept to."""
        latencies = sorted(outcome.latency_ms for outcome in self.measured)
        return latencies[min(int(len(latencies) * percent / 100), len(latencies) - 1)]

    def hop_ms(self) -> dict[str, float]:
        """Returns the median time of each hop, in milliseconds, one prediction at a time."""
        durations: dict[str, list[float]] = collections.defaultdict(list)
        for outcome in self.measured:
            for entry in outcome.prediction.ledger.entries:
                durations[entry.hop].append(entry.duration_ms)
        return {hop: statistics.median(values) for hop, values in durations.items()}

    def _score(self, outcome: Outcome) -> float:
        value = outcome.prediction.values[self.score]
        assert isinstance(value, float)
        return value


async def try_mesh(
    client: AsyncClient, pipeline: str, rows: Sequence[HeldOutRow], score: str, step: Step
) -> Trial:
    """Returns what came of asking for a prediction of every row.

    Args:
        client: of the mesh's gateway.
        pipeline: name of the pipeline.
        rows: what to ask; at least one.
        score: the output that ranks the rows.
        step: where to show how far it has come.

    Raises:
        TrialFailed: if more than a tenth of the calls failed.
    """
    began = time.monotonic()
    failures: list[PredictionError] = []
    for row in rows[:_WARM_UP_CALLS]:
        await _ask_one(client, pipeline, row)
    measured: list[Outcome] = []
    for row in rows[:LATENCY_ROWS]:
        started = time.perf_counter()
        answer = await _ask_one(client, pipeline, row)
        latency_ms = (time.perf_counter() - started) * 1000
        if isinstance(answer, PredictionError):
            failures.append(answer)
        else:
            measured.append(Outcome(row, answer, latency_ms))
        step.tell(f"{len(measured)} of {len(rows)}")
    outcomes = list(measured)
    for first in range(LATENCY_ROWS, len(rows), _BATCH_ROWS):
        batch = rows[first : first + _BATCH_ROWS]
        started = time.perf_counter()
        answers = await _ask_batch(client, pipeline, batch)
        latency_ms = (time.perf_counter() - started) * 1000
        for row, answer in zip(batch, answers, strict=True):
            if isinstance(answer, PredictionError):
                failures.append(answer)
            else:
                outcomes.append(Outcome(row, answer, latency_ms))
        step.tell(f"{len(outcomes)} of {len(rows)}")
    counts = dict(collections.Counter(error.code.name for error in failures).most_common())
    if not measured or len(failures) > _TOLERATED_FAILURES * len(rows):
        raise TrialFailed(len(rows), counts, failures[0])
    return Trial(
        outcomes=outcomes,
        measured=measured,
        failures=counts,
        score=score,
        seconds=time.monotonic() - began,
    )


async def _ask_one(
    client: AsyncClient, pipeline: str, row: HeldOutRow
) -> Prediction | PredictionError:
    try:
        return await client.predict(pipeline, row.fields, timeout=_TIMEOUT_S)
    except PredictionError as error:
        return error


async def _ask_batch(
    client: AsyncClient, pipeline: str, rows: Sequence[HeldOutRow]
) -> Sequence[Prediction | PredictionError]:
    try:
        fields = [row.fields for row in rows]
        return await client.predict_batch(pipeline, fields, timeout=_TIMEOUT_S)
    except PredictionError as error:
        return [error] * len(rows)
