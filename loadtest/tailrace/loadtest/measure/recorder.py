"""Takes down every call while the load runs."""

from __future__ import annotations

import time
from typing import IO, Protocol

import numpy as np

from tailrace.loadtest.measure.details import DetailsWriter, Listed
from tailrace.loadtest.measure.ended_calls import EndedCalls
from tailrace.loadtest.measure.latency_histogram import Int64s
from tailrace.loadtest.measure.outcome_kinds import OutcomeKinds
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.wire.call import Call


class Ended(Protocol):
    """How a call that is over is taken down."""

    def __call__(self, call: Call, *, lag: bool) -> None:
        """Takes it down; the call may be used anew afterwards.

        Args:
            call: the call.
            lag: True if only the generator can be the reason why it was sent after it was due.
        """


class Recorder:
    """Takes calls down at a fraction of a microsecond each; sorts them later, many at a time.

    How the engine uses one::

        recorder = Recorder(start_ns, count_errors=False, skip_first=0, details=None)
        ended = recorder.ended  # bound once: the call that the hot path makes
        ended(call, lag=False)
        recorder.skipped(call)  # instead of `ended`, for what does not count
        tally = recorder.fold()  # some times a second
        tally.started = started  # and `bytes_sent`, … : what only the engine knows

    `started` of the slices of time is made of the instants at which calls were sent: nothing has
    to be told for it.

    Attributes:
        ended: takes down a call that is over.
    """

    def __init__(
        self, start_ns: int, *, count_errors: bool, skip_first: int, details: IO[bytes] | None
    ) -> None:
        """Begins a record.

        Args:
            start_ns: the run's start, on the monotonic clock.
            count_errors: True if latencies of failed calls count.
            skip_first: calls with a smaller number do not count.
            details: file that a record per call goes to, without a buffer; None for none.
        """
        self._start_ns = start_ns
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        self._count_errors = count_errors
        self._kinds = OutcomeKinds()
        self._writer = DetailsWriter(details) if details is not None else None
        self._kinds_told = 0
        self._tally = Tally()
        self._ended = EndedCalls(self._kinds)
        self._skipped_sent_ns: list[int] = []
        self.ended: Ended = self._skipping(skip_first) if skip_first else self._ended.add

    def skipped(self, call: Call) -> None:
        """Takes down a call that is over and does not count, as with `duration_stop=ignore`."""
        self._skipped_sent_ns.append(call.sent_ns or call.intended_ns)

    def fold(self) -> Tally:
        """Sorts what was taken down; called between calls, some times a second.

        Returns:
            All since the start, or since the last `take`; the recorder's own, which goes on.
        """
        skipped = np.array(self._skipped_sent_ns, np.int64)
        self._skipped_sent_ns.clear()
        self._tally.skipped += len(skipped)
        self._tally.slices.add_started(skipped - self._start_ns)
        self._fold_ended()
        return self._tally

    def take(self) -> Tally:
        """Folds, and begins anew: all that is taken, added up (`Tally.merge`), is the whole.

        What one process tells another this way does not grow with the length of the run.
        """
        taken = self.fold()
        self._tally = Tally()
        return taken

    def listed(self) -> Listed | None:
        """Returns what there is to tell of the records of the calls folded so far.

        What is told once is not told again; None where there are no records.
        """
        if self._writer is None:
            return None
        kinds = self._kinds.told()[self._kinds_told :]
        self._kinds_told += len(kinds)
        return Listed(self._writer.count, kinds, self._writer.fault)

    def _skipping(self, skip_first: int) -> Ended:
        add, skipped = self._ended.add, self.skipped

        def ended(call: Call, *, lag: bool) -> None:
            if call.number < skip_first:
                skipped(call)
            else:
                add(call, lag=lag)

        return ended

    def _fold_ended(self) -> None:
        calls = self._ended.take()
        ended_ns, due_ns, sent_ns = calls.ended_ns, calls.intended_ns, calls.sent_ns
        if not ended_ns.size:
            return
        tally = self._tally
        corrected, uncorrected = ended_ns - due_ns, ended_ns - sent_ns
        answered = self._kinds.answered(calls.kinds)
        counts = np.ones_like(answered) if self._count_errors else answered
        tally.corrected.record(corrected[counts])
        tally.uncorrected.record(uncorrected[counts])
        tally.lag.record((sent_ns - due_ns)[calls.lag])
        tally.slices.add_started(sent_ns - self._start_ns)
        tally.slices.add(
            ended_ns - self._start_ns,
            np.where(counts, np.maximum(corrected, 0), -1),
            (~answered).astype(np.int64),
        )
        tally.ended += ended_ns.size
        tally.responses += calls.responses
        first = int(due_ns.min())
        tally.first_ns = min(tally.first_ns, first) if tally.first_ns else first
        tally.last_ns = max(tally.last_ns, int(ended_ns.max()))
        self._kinds.count(calls.kinds, tally)
        self._write(due_ns, corrected, uncorrected, calls.kinds)

    def _write(self, due: Int64s, corrected: Int64s, uncorrected: Int64s, kinds: Int64s) -> None:
        if self._writer is None:
            return
        order = np.argsort(due + corrected, kind="stable")
        self._writer.write(
            due[order] + self._epoch_ns, corrected[order], uncorrected[order], kinds[order]
        )
