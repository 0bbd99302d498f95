"""Calls on the load tool's own wire, for its tests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.request import Metadata, Request
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.channel import Channel
from tests.support.load_messages import SERVICE, echo_files

_LONGEST_S = 20.0


class WireCalls:
    """A connected channel, and what became of its calls.

    Attributes:
        channel: the channel.
        ended: calls that are over, in that order.
        messages: messages by call, in order of arrival.
    """

    def __init__(self, channel: Channel, options: LoadOptions) -> None:
        self.channel = channel
        self.ended: list[Call] = []
        self.messages: dict[Call, list[bytes]] = {}
        self._timeout_ns = int(options.timeout * 1e9)
        self._number = 0
        channel.on_ended = self.ended.append
        channel.on_message = self._message

    def start(
        self,
        *messages: bytes,
        metadata: Metadata = (),
        last: bool = True,
        request: Request | None = None,
    ) -> Call:
        """Makes a call with messages, or with a request that may have been used before."""
        call = Call(self._number, self._number, time.monotonic_ns())
        self._number += 1
        call.sent_ns = time.monotonic_ns()
        call.deadline_ns = call.sent_ns + self._timeout_ns if self._timeout_ns else 0
        self.messages[call] = []
        self.channel.start(call, request or Request(messages, metadata), last=last)
        return call

    def finish(self, *calls: Call) -> None:
        """Polls until these calls are over, or all that were made."""
        self.poll_until(lambda: all(call.status != -1 for call in calls or self.messages))

    def poll_until(self, condition: Any) -> None:
        """Polls until something is so, and fails the test if it never is."""
        give_up_at = time.monotonic() + _LONGEST_S
        while not condition():
            assert time.monotonic() < give_up_at, "what was waited for did not happen"
            self.channel.poll(0.05)

    def call(self, *messages: bytes, metadata: Metadata = ()) -> Call:
        """Makes a call and waits for its end."""
        call = self.start(*messages, metadata=metadata)
        self.finish(call)
        return call

    def _message(self, call: Call, message: bytes) -> None:
        self.messages[call].append(message)


@contextmanager
def wire_calls(
    host: str, method: str = "Echo", *, connections: int = 1, **options: Any
) -> Iterator[WireCalls]:
    """A connected channel to a method of the load server; `options` are those of `LoadOptions`."""
    spec = MethodSpec(SERVICE, method, echo_files())
    options = {"insecure": True, "timeout": 10.0, **options}
    asked = LoadOptions(host=host, call=spec.path, **options)
    channel = Channel(asked, spec, connections=connections, keep_responses=True)
    calls = WireCalls(channel, asked)
    try:
        channel.connect()
        yield calls
    finally:
        channel.close()


def statuses(calls: Sequence[Call]) -> list[int]:
    """Returns the status of each."""
    return [call.status for call in calls]
