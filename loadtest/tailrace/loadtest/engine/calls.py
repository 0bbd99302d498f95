"""Makes calls, and takes down how they end."""

from __future__ import annotations

import time
from collections.abc import Callable

from tailrace.loadtest.engine.roster import NEVER_NS
from tailrace.loadtest.hops.response_reader import ResponseReader
from tailrace.loadtest.measure.recorder import Recorder
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.request import Request, RequestSource
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.channel_api import ChannelApi

_OK = 0
# State of a call that was due before there was a caller, or room, for it.
WAITED = object()


class Calls:
    """The unary calls of one process.

    Attributes:
        freed: called with each call that is over, once it was taken down; may make another.
        in_flight: calls that are not over.
        made: how many were made.
        most: most in flight at a time.
    """

    freed: Callable[[Call], None]

    def __init__(
        self,
        options: LoadOptions,
        channel: ChannelApi,
        source: RequestSource,
        recorder: Recorder,
        reader: ResponseReader | None,
    ) -> None:
        """Puts together what calls need."""
        self.in_flight: set[Call] = set()
        self.made = 0
        self.most = 0
        self._channel, self._source, self._reader = channel, source, reader
        self._recorder, self._record = recorder, recorder.ended
        self._paced = options.paced
        self._timeout_ns = round(options.timeout * 1e9)
        self._skip_first = options.skip_first
        channel.on_ended = self._ended

    def make(self, number: int, worker: int, due_ns: int, state: object | None = None) -> None:
        """Makes a call.

        Args:
            number: its number in the whole run.
            worker: its caller's number.
            due_ns: when it was due; 0 for now.
            state: `WAITED` if it waited for a caller.

        Raises:
            LoadError: a template gives something that is no message.
        """
        request = self._source.request(number, worker)
        now = time.monotonic_ns()
        call = Call(number, worker, due_ns or now)
        call.sent_ns = now
        call.state = state
        if self._timeout_ns:
            call.deadline_ns = now + self._timeout_ns
        flying = self.in_flight
        flying.add(call)
        self.made += 1
        if len(flying) > self.most:
            self.most = len(flying)
        self._begin(call, request)

    def attend(self, now_ns: int) -> int:
        """Goes on with calls that have more to send; returns when it wants to be asked again.

        Args:
            now_ns: on the monotonic clock, as what is returned.
        """
        return NEVER_NS

    def cancel_all(self, status: int, message: str) -> None:
        """Ends all that are in flight."""
        for call in list(self.in_flight):
            self._channel.cancel(call, status, message)

    def ignore_rest(self) -> None:
        """Has calls that end from now on not count."""
        self._record = self._skip
        self._reader = None

    def _begin(self, call: Call, request: Request) -> None:
        self._channel.start(call, request, last=True)

    def _skip(self, call: Call, *, lag: bool) -> None:
        self._recorder.skipped(call)

    def _ended(self, call: Call) -> None:
        self.in_flight.discard(call)
        if self._paced:
            self._record(call, lag=call.state is None)
        else:
            # Due when it could be made: never later than it was sent.
            call.intended_ns = call.sent_ns or call.intended_ns
            self._record(call, lag=False)
        if self._reader is not None:
            self._read(call)
        self.freed(call)

    def _read(self, call: Call) -> None:
        if call.status == _OK and call.response is not None and call.number >= self._skip_first:
            assert self._reader is not None
            self._reader.read(call.response, call.ended_ns - call.intended_ns)
