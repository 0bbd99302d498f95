"""A process that makes load: `python -m tailrace.loadtest.engine.worker PARENT_PID`.

It is told what to do on standard input, and tells what came of it on standard output.
"""

from __future__ import annotations

import sys

from tailrace.loadtest.engine.calls import Calls
from tailrace.loadtest.engine.load_loop import LoadLoop
from tailrace.loadtest.engine.messages import Failed, Order, Ready, Start
from tailrace.loadtest.engine.own_process import collect_seldom, die_with_parent, wake_in_time
from tailrace.loadtest.engine.pacing import make_pacing
from tailrace.loadtest.engine.parent_link import ParentLink
from tailrace.loadtest.engine.share import connection_count
from tailrace.loadtest.engine.stream_calls import StreamCalls
from tailrace.loadtest.engine.teller import Teller
from tailrace.loadtest.hops.readers import reader_for
from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.recorder import Recorder
from tailrace.loadtest.requests.source import make_source
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.channel import Channel


def main(arguments: list[str]) -> None:
    """Does what the parent orders."""
    die_with_parent(int(arguments[0]))
    wake_in_time()
    link = ParentLink()
    order = link.receive()
    assert isinstance(order, Order)
    try:
        _obey(order, link)
    except LoadError as error:
        link.tell(Failed(error.problem, error.hint))
        link.flush()


def _obey(order: Order, link: ParentLink) -> None:
    options, method = order.options, order.method
    source = make_source(options, method)
    reader = reader_for(method, options)
    connections = connection_count(options, order.share)
    keep = reader is not None
    channel = Channel(options, method, connections=connections, keep_responses=keep)
    channel.on_ended = _none_yet
    channel.connect()
    # Now, as it takes some milliseconds, in which the first calls would be due.
    collect_seldom()
    try:
        link.tell(Ready())
        start = link.receive()
        if not isinstance(start, Start):
            return
        start_ns = start.start_ns
        recorder = Recorder(
            start_ns,
            count_errors=options.count_errors,
            skip_first=options.skip_first,
            details=None if order.details is None else open(order.details, "wb", buffering=0),
        )
        calls: Calls
        if method.client_streaming or method.server_streaming:
            calls = StreamCalls(options, method, channel, source, recorder, reader)
        else:
            calls = Calls(options, channel, source, recorder, reader)
        pacing = make_pacing(options, order.share, calls, start_ns)
        teller = Teller(recorder, channel, calls, reader, link, start_ns=start_ns)
        loop = LoadLoop(options, channel, calls, pacing, teller, link, start_ns)
        loop.run()
        teller.done(timed_out=loop.timed_out, ignored_ns=loop.ignored_ns)
    finally:
        channel.close()


def _none_yet(call: Call) -> None:
    raise AssertionError(f"call {call.number} is over before the load has begun")


if __name__ == "__main__":
    main(sys.argv[1:])
