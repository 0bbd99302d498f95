"""Tries a mesh with rows whose outcome is known: how well it predicts, and how fast."""

from __future__ import annotations

import asyncio
import collections
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.cli.auc import area_under_curve
from tailrace.cli.held_out import HeldOutRow
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.progress import Step
from tailrace.client import AsyncClient, Prediction, PredictionError

# Some calls open connections and fill caches; they are not counted.
_WARM_UP_CALLS = 20

# How many rows are asked for one at a time, for the latency; the rest goes faster.
LATENCY_ROWS = 500

_CONCURRENCY = 16
_TIMEOUT_S = 5.0


class TrialFailed(LaunchError):
    """A mesh does not answer as it should.

    Attributes:
        asked: how many predictions were asked for.
        failures: how many calls failed, by what they failed with.
    """

    def __init__(self, asked: int, failures: dict[str, int], example: str) -> None:
        self.asked = asked
        self.failures = failures
        counts = ", ".join(f"{count} with {kind}" for kind, count in failures.items())
        super().__init__(f"of {asked} predictions, some failed: {counts}. The first: {example}")


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
        outcomes: one per row, in the order of the rows; the first `one_at_a_time` of them
            were asked one after the other, the others 16 at a time.
        one_at_a_time: see there.
        score: the output that ranks the rows.
        seconds: how long all of it took.
    """

    outcomes: Sequence[Outcome]
    one_at_a_time: int
    score: str
    seconds: float

    @property
    def auc(self) -> float:
        """Area under the ROC curve over all rows; NaN if they are all of one class."""
        labels = [outcome.row.positive for outcome in self.outcomes]
        if len(set(labels)) < 2:
            return float("nan")
        scores = [float(self._score(outcome)) for outcome in self.outcomes]
        return area_under_curve(labels, scores)

    @property
    def base_rate(self) -> float:
        """Share of positives among the rows."""
        return statistics.fmean(outcome.row.positive for outcome in self.outcomes)

    @property
    def qualities(self) -> dict[str, int]:
        """How many predictions were of which quality."""
        counts = collections.Counter(o.prediction.quality.name for o in self.outcomes)
        return dict(counts.most_common())

    @property
    def unattributed_share(self) -> float:
        """Median share of a prediction's time that no hop accounts for, one at a time."""
        ledgers = [outcome.prediction.ledger for outcome in self._measured]
        return statistics.median(ledger.unattributed_ms / ledger.total_ms for ledger in ledgers)

    def latency_ms(self, percent: float) -> float:
        """Returns the latency that `percent` of the calls made one at a time kept to."""
        latencies = sorted(outcome.latency_ms for outcome in self._measured)
        return latencies[min(int(len(latencies) * percent / 100), len(latencies) - 1)]

    def hop_ms(self) -> dict[str, float]:
        """Returns the median time of each hop, in milliseconds, one prediction at a time."""
        durations: dict[str, list[float]] = collections.defaultdict(list)
        for outcome in self._measured:
            for entry in outcome.prediction.ledger.entries:
                durations[entry.hop].append(entry.duration_ms)
        return {hop: statistics.median(values) for hop, values in durations.items()}

    @property
    def _measured(self) -> Sequence[Outcome]:
        return self.outcomes[: self.one_at_a_time]

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
        TrialFailed: if any call failed.
    """
    began = time.monotonic()
    failures: list[PredictionError] = []
    outcomes: list[Outcome | None] = [None] * len(rows)

    async def ask(place: int) -> None:
        row = rows[place]
        started = time.perf_counter()
        try:
            prediction = await client.predict(pipeline, row.fields, timeout=_TIMEOUT_S)
        except PredictionError as error:
            failures.append(error)
            return
        latency_ms = (time.perf_counter() - started) * 1000
        outcomes[place] = Outcome(row, prediction, latency_ms)

    for place in range(min(_WARM_UP_CALLS, len(rows))):
        await ask(place)
    one_at_a_time = min(LATENCY_ROWS, len(rows))
    step.tell(f"{one_at_a_time} one at a time")
    for place in range(one_at_a_time):
        await ask(place)
    step.tell(f"{one_at_a_time} one at a time, then up to {len(rows)}, {_CONCURRENCY} at a time")
    places = iter(range(one_at_a_time, len(rows)))

    async def ask_on() -> None:
        for place in places:
            await ask(place)

    await asyncio.gather(*(ask_on() for _ in range(_CONCURRENCY)))
    if failures:
        counts = collections.Counter(error.code.name for error in failures)
        raise TrialFailed(len(rows), dict(counts.most_common()), str(failures[0]))
    return Trial(
        outcomes=[outcome for outcome in outcomes if outcome is not None],
        one_at_a_time=one_at_a_time,
        score=score,
        seconds=time.monotonic() - began,
    )
