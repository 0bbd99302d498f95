"""What came of trying a mesh."""

from __future__ import annotations

import collections
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tailrace.cli.auc import area_under_curve
from tailrace.cli.held_out import HeldOutRow
from tailrace.client import Prediction, Quality


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
class Replayed:
    """Events that a mesh took in while it was tried.

    Attributes:
        events: how many.
        events_before: how many of them before the first row.
        seconds_before: how long the mesh took for those.
        first: the instant of the first row.
        last: the instant of the last row.
    """

    events: int
    events_before: int
    seconds_before: float
    first: datetime
    last: datetime

    @property
    def events_per_s(self) -> float:
        """Rate before the first row, when nothing was asked between the events."""
        return self.events_before / self.seconds_before if self.seconds_before else 0.0


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
        replayed: the events among which the rows were asked, if there were any.
    """

    outcomes: Sequence[Outcome]
    measured: Sequence[Outcome]
    failures: Mapping[str, int]
    score: str
    seconds: float
    replayed: Replayed | None = None

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
    def offline_difference(self) -> float | None:
        """Largest difference of a live answer from what was expected; None where nothing was."""
        differences = [
            abs(self._score(outcome) - outcome.row.expected)
            for outcome in self.outcomes
            if outcome.row.expected is not None and outcome.prediction.quality is Quality.LIVE
        ]
        return max(differences, default=None)

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
