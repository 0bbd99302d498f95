"""What one process recorded, and what all did together."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

from tailrace.loadtest.hops.response_reader import AnswerTally
from tailrace.loadtest.measure.latency_histogram import LatencyHistogram
from tailrace.loadtest.measure.time_slices import TimeSlices

# Kinds of error messages that are told apart; the rest count together, under OTHER_ERRORS.
MAX_ERROR_KINDS = 100
OTHER_ERRORS = "(other errors)"


@dataclass(slots=True)
class Tally:
    """What calls came to. Picklable; a worker tells its own, and the parent adds them up.

    Latencies are of calls that were answered OK, and of failed ones only with `count_errors`.

    Attributes:
        corrected: latencies from the intended instant. The same as `uncorrected` without a rate.
        uncorrected: latencies from the instant at which calls were really sent.
        lag: how late calls were sent, where only the generator can have been the reason: in an
            open loop, all; with a rate and a bound on callers, those that found a caller free.
        statuses: calls by the name of their status, such as `OK` or `DeadlineExceeded`
            (`status_names`).
        errors: failed calls by their error's text, as ghz tells it:
            `rpc error: code = Unavailable desc = …`; no more than `MAX_ERROR_KINDS` of them.
        slices: the same by time.
        started: calls that were made; the engine's to count.
        ended: calls that are over, skipped ones left out.
        skipped: calls that are over and do not count (`skip_first`, `duration_stop=ignore`).
        unknown: calls that were made, and whose end nobody told: their process was lost.
        lost: processes that ended before their load was over.
        responses: messages received.
        bytes_sent: to sockets; the engine's to count, as is what follows but for the instants.
        bytes_received: from sockets.
        max_in_flight: most calls in flight at a time, in one process.
        first_ns: when the first call that counts was due, on the monotonic clock; 0 if there is
            none.
        last_ns: when the last one that counts ended, or when those in flight were left out of
            account (`duration_stop=ignore`), whichever is later; 0 if there is none.
        cpu_ns: processor time of the process while it made the load.
        wall_ns: length of that.
        away_ns: how much of that the process was back too late, from waits that had an end.
        answers: what was found in answers; None where they are not looked at.
    """

    corrected: LatencyHistogram = field(default_factory=LatencyHistogram)
    uncorrected: LatencyHistogram = field(default_factory=LatencyHistogram)
    lag: LatencyHistogram = field(default_factory=LatencyHistogram)
    statuses: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    slices: TimeSlices = field(default_factory=TimeSlices)
    started: int = 0
    ended: int = 0
    skipped: int = 0
    unknown: int = 0
    lost: int = 0
    responses: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    max_in_flight: int = 0
    first_ns: int = 0
    last_ns: int = 0
    cpu_ns: int = 0
    wall_ns: int = 0
    away_ns: int = 0
    answers: AnswerTally | None = None

    @property
    def failed(self) -> int:
        """Calls that did not end with OK."""
        return self.ended - self.statuses.get("OK", 0)

    def merge(self, other: Tally) -> None:
        """Adds what another process recorded, or the same one later; leaves `other` as it is."""
        self.corrected.merge(other.corrected)
        self.uncorrected.merge(other.uncorrected)
        self.lag.merge(other.lag)
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count
        for text, count in other.errors.items():
            self.add_errors(text, count)
        self.slices.merge(other.slices)
        self.started += other.started
        self.ended += other.ended
        self.skipped += other.skipped
        self.unknown += other.unknown
        self.lost += other.lost
        self.responses += other.responses
        self.bytes_sent += other.bytes_sent
        self.bytes_received += other.bytes_received
        self.max_in_flight = max(self.max_in_flight, other.max_in_flight)
        self.first_ns = min(filter(None, (self.first_ns, other.first_ns)), default=0)
        self.last_ns = max(self.last_ns, other.last_ns)
        self.cpu_ns += other.cpu_ns
        self.away_ns += other.away_ns
        self.wall_ns = max(self.wall_ns, other.wall_ns)
        self._merge_answers(other.answers)

    def add_errors(self, text: str, count: int) -> None:
        """Adds failed calls of one kind; a kind too many counts under `OTHER_ERRORS`."""
        known = self.errors
        if text not in known and len(known) >= MAX_ERROR_KINDS - 1:
            text = OTHER_ERRORS
        known[text] = known.get(text, 0) + count

    def _merge_answers(self, answers: AnswerTally | None) -> None:
        if answers is None:
            return
        if self.answers is None:
            self.answers = deepcopy(answers)
        else:
            self.answers.merge(answers)
