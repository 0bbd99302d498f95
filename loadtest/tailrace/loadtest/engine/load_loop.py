"""The loop of a process that makes load."""

from __future__ import annotations

import time

from tailrace.loadtest.engine.calls import Calls
from tailrace.loadtest.engine.messages import Stop
from tailrace.loadtest.engine.pacing import Pacing
from tailrace.loadtest.engine.parent_link import ParentLink
from tailrace.loadtest.engine.roster import NEVER_NS
from tailrace.loadtest.engine.teller import Teller
from tailrace.loadtest.options.load_options import DurationStop, LoadOptions
from tailrace.loadtest.wire.channel_api import ChannelApi

_LOOK_NS = 50_000_000
# Who is back by then was not away.
_LATE_NS = 1_000_000
_CANCELLED = 1
_UNAVAILABLE = 14
_CLOSED = "the connection is closing: the load test's time is up"
_INTERRUPTED = "the load test was interrupted"


class LoadLoop:
    """Makes calls until all are made, time is up, or the parent says so; one thread.

    Attributes:
        timed_out: True if time ended it, before all calls were made.
        ignored_ns: when calls in flight were left out of account, on the monotonic clock; 0 if
            none was.
    """

    def __init__(
        self,
        options: LoadOptions,
        channel: ChannelApi,
        calls: Calls,
        pacing: Pacing,
        teller: Teller,
        link: ParentLink,
        start_ns: int,
    ) -> None:
        """Puts together what a load needs.

        Args:
            options: of the whole run.
            channel: the connections.
            calls: what makes calls.
            pacing: what says when.
            teller: what sorts and tells what was recorded.
            link: to the parent.
            start_ns: the run's start, on the monotonic clock.
        """
        self.timed_out = False
        self.ignored_ns = 0
        self._channel, self._calls, self._pacing = channel, calls, pacing
        self._teller, self._link = teller, link
        self._stopped = False
        self._action = options.duration_stop
        time_s = options.duration or options.max_duration
        self._start_ns = start_ns
        self._end_ns = start_ns + round(time_s * 1e9) if time_s else NEVER_NS
        self._look_ns = min(start_ns + _LOOK_NS, self._end_ns)

    def run(self) -> None:
        """Makes the load.

        Raises:
            LoadError: a template gives something that is no message.
        """
        clock, poll = time.monotonic_ns, self._channel.poll
        calls, pacing = self._calls, self._pacing
        self._await_start()
        wake_ns = NEVER_NS
        while True:
            now = clock()
            if now - wake_ns > _LATE_NS:
                self._teller.away_ns += now - wake_ns
            if now >= self._look_ns:
                self._look(now)
            wake_ns = min(pacing.advance(now), calls.attend(now), self._look_ns)
            if pacing.over and not calls.in_flight:
                return
            wait_ns = wake_ns - clock()
            poll(wait_ns * 1e-9 if wait_ns > 0 else 0.0)

    def _await_start(self) -> None:
        while (wait_ns := self._start_ns - time.monotonic_ns()) > 0:
            self._channel.poll(wait_ns * 1e-9)

    def _look(self, now_ns: int) -> None:
        # What a load needs from time to time only.
        if now_ns >= self._end_ns and not self._stopped:
            # What was due before the end is made, though we come late.
            self._pacing.advance(self._end_ns - 1)
            self.timed_out = not self._pacing.over or bool(self._calls.in_flight)
            self._stop()
        if isinstance(self._link.poll(), Stop):
            if self._stopped:
                # Who would not wait for the rest.
                self._calls.cancel_all(_CANCELLED, _INTERRUPTED)
            else:
                self._stop()
        self._teller.look(now_ns)
        self._look_ns = now_ns + _LOOK_NS
        if not self._stopped:
            self._look_ns = min(self._look_ns, self._end_ns)

    def _stop(self) -> None:
        self._stopped = self._pacing.over = True
        if self._action is DurationStop.CLOSE:
            self._calls.cancel_all(_UNAVAILABLE, _CLOSED)
        elif self._action is DurationStop.IGNORE:
            if self._calls.in_flight:
                self.ignored_ns = time.monotonic_ns()
            self._calls.ignore_rest()
