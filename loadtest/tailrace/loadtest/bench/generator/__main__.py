"""`python -m …bench.generator`: takes orders on stdin, tells outcomes on stdout."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

from tailrace.loadtest.bench.generator.calls import closed_loop, every_score, open_loop
from tailrace.loadtest.bench.generator.connections import Connections
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.loadtest.bench.generator.orders import Order, Outcome
from tailrace.loadtest.bench.generator.streams import every_stream_score, stream_loop
from tailrace.loadtest.bench.generator.submitting import submit
from tailrace.runtime import event_loop


async def _carry_out(order: Order, messages: Messages, connections: Connections) -> Outcome:
    channels = connections.open(order.endpoint.target, max(1, order.connections))
    if order.endpoint.submits:
        return await submit(channels, order, messages)
    if order.endpoint.streams:
        work = {"scores": every_stream_score, "closed": stream_loop}[order.work]
    else:
        work = {"scores": every_score, "closed": closed_loop, "open": open_loop}[order.work]
    return await work(channels, order, messages)


async def _serve() -> None:
    connections = Connections()
    known: dict[str, Messages] = {}
    gc.freeze()
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = Order.from_line(line)
        file = order.endpoint.messages_file
        messages = known.get(file) or Messages.read(Path(file))
        # What is expected of them is written to the file once their scores are known.
        if messages.expected or order.endpoint.submits:
            known[file] = messages
        # A collection would hold up everything in flight, for whoever is measured just then.
        gc.disable()
        outcome = await _carry_out(order, messages, connections)
        gc.enable()
        gc.collect()
        sys.stdout.write(outcome.to_line())
        sys.stdout.flush()
    await connections.close()


if __name__ == "__main__":
    # Of all contenders alike: otherwise the generator takes in one answer a turn.
    event_loop.run(_serve())
