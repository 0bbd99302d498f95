"""Sorts what was recorded while the load runs, and tells the parent."""

from __future__ import annotations

import time

from tailrace.loadtest.engine.calls import Calls
from tailrace.loadtest.engine.messages import Done, Progress
from tailrace.loadtest.engine.parent_link import ParentLink
from tailrace.loadtest.hops.response_reader import ResponseReader
from tailrace.loadtest.measure.recorder import Recorder
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.wire.channel_api import ChannelApi

_PERIOD_NS = 250_000_000
# What was found in answers takes longer to tell than all else.
_ANSWERS_PERIOD_NS = 1_000_000_000
# So many calls are sorted before their time: what waits is bounded, and sorting never takes long.
# (Measured: 0.4 ms for a few, 1 ms for this many.)
_MANY = 2000


class Teller:
    """What the parent hears of a process: each time what is new, so that it adds up.

    So a process keeps no more than a moment of the run, however long that is.

    Attributes:
        away_ns: as that of `Tally`, and not told yet; the loop's to count.
    """

    def __init__(
        self,
        recorder: Recorder,
        channel: ChannelApi,
        calls: Calls,
        reader: ResponseReader | None,
        link: ParentLink,
        *,
        start_ns: int,
    ) -> None:
        """Begins to count.

        Args:
            recorder: what calls are taken down in.
            channel: what counts bytes.
            calls: what counts calls that are made.
            reader: of answers; None where they are not looked at.
            link: to the parent.
            start_ns: the run's start, on the monotonic clock.
        """
        self._recorder, self._channel, self._calls = recorder, channel, calls
        self._reader, self._link = reader, link
        self._start_ns = start_ns
        self.away_ns = 0
        self._told = self._counters()
        self._due_ns = start_ns + _PERIOD_NS
        self._answers_due_ns = start_ns + _ANSWERS_PERIOD_NS
        # Calls that had been made when those that were over were sorted last.
        self._sorted = 0

    def look(self, now_ns: int) -> None:
        """Sorts what was taken down, and tells of it if it is time for that."""
        self._link.push()
        due = now_ns >= self._due_ns
        if not due and self._calls.made - self._sorted < _MANY:
            return
        self._sorted = self._calls.made
        if due:
            self._due_ns = now_ns + _PERIOD_NS
        if due and not self._link.busy:
            tally = self._complete(self._recorder.take())
            if self._reader is not None and now_ns >= self._answers_due_ns:
                self._answers_due_ns = now_ns + _ANSWERS_PERIOD_NS
                tally.answers = self._reader.take()
            self._link.tell(Progress(tally, self._recorder.listed()))
        else:
            self._recorder.fold()

    def done(self, *, timed_out: bool, ignored_ns: int) -> None:
        """Tells of the end.

        Args:
            timed_out: True if time ended the load, before all calls were made.
            ignored_ns: when calls in flight were left out of account, on the monotonic clock; 0 if
                none was. Until then they were waited for.
        """
        tally = self._complete(self._recorder.take())
        tally.last_ns = max(tally.last_ns, ignored_ns)
        if self._reader is not None:
            tally.answers = self._reader.take()
        self._link.tell(Done(tally, self._recorder.listed(), timed_out))
        self._link.flush()

    def _complete(self, tally: Tally) -> Tally:
        counters = self._counters()
        new = [now - before for now, before in zip(counters, self._told, strict=True)]
        self._told = counters
        tally.started, tally.bytes_sent, tally.bytes_received, tally.cpu_ns = new
        tally.away_ns, self.away_ns = self.away_ns, 0
        tally.max_in_flight = self._calls.most
        tally.wall_ns = time.monotonic_ns() - self._start_ns
        return tally

    def _counters(self) -> tuple[int, int, int, int]:
        channel = self._channel
        cpu_ns = time.process_time_ns()
        return self._calls.made, channel.bytes_sent, channel.bytes_received, cpu_ns
