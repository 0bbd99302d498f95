"""What one process recorded, and what all did together."""

from __future__ import annotations

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
        statuses: calls by the name of their status, such as `OK` or `DEADLINE_EXCEEDED`.
        errors: failed calls by their error's text, as ghz tells it:
            `rpc error: code = Unavailable desc = …`.
        slices: the same by time.
        started: calls that were made.
        ended: calls that are over, skipped ones left out.
        skipped: calls that are over and do not count (`skip_first`, `duration_stop=ignore`).
        responses: messages received.
        bytes_sent: to sockets.
        bytes_received: from sockets.
        max_in_flight: most calls in flight at a time, in one process.
        first_ns: when the first call was due, on the monotonic clock; 0 if there is none.
        last_ns: when the last one ended; 0 if there is none.
        cpu_ns: processor time of the process while it made the load.
        wall_ns: length of that.
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
    responses: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    max_in_flight: int = 0
    first_ns: int = 0
    last_ns: int = 0
    cpu_ns: int = 0
    wall_ns: int = 0
    answers: AnswerTally | None = None

    @property
    def failed(self) -> int:
        """Calls that did not end with OK."""
        return self.ended - self.statuses.get("OK", 0)
