"""`python -m tailrace.loadtest.scenario.receiver`: takes results, in a process of its own.

The client library's receiver: signatures are verified, and what comes twice is counted and
dropped. The first line of its input is the secret that deliveries are signed with. It listens on a
free port, which it tells as a line of JSON; each further line is answered with what it has taken
since the last one. It ends with its input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from time import time_ns

from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.client.receiver import GrpcReceiver, PushedPrediction
from tailrace.client.receiver.seen import MemorySeenDeliveries
from tailrace.runtime import event_loop
from tailrace.v1 import prediction_service_pb2


@dataclass(slots=True)
class Taken:
    """What a receiver has taken since it was last asked.

    Attributes:
        ids: of the predictions, in the order in which they came, each once.
        again: deliveries of ids that it had taken already.
        failed: results that are no predictions.
        latencies_ns: from the submission until here, in nanoseconds, by the queue's clock and this
            machine's.
        deliveries_ns: from when it was final until here, likewise.
    """

    ids: list[str] = field(default_factory=list)
    again: int = 0
    failed: int = 0
    latencies_ns: list[int] = field(default_factory=list)
    deliveries_ns: list[int] = field(default_factory=list)


class CountingSeen(MemorySeenDeliveries):
    """Remembers deliveries, and counts those that come again.

    Attributes:
        again: how many did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.again = 0

    def seen(self, delivery_ids: Sequence[str]) -> set[str]:
        """Returns those ids that were taken before."""
        found = super().seen(delivery_ids)
        self.again += len(found)
        return found


class Counter:
    """Takes results down."""

    def __init__(self) -> None:
        self.seen = CountingSeen()
        self._taken = Taken()

    async def handle(self, pushed: PushedPrediction) -> None:
        """Takes one result."""
        now, record = time_ns(), pushed.record
        self._taken.ids.append(pushed.delivery_id)
        self._taken.failed += record.state != prediction_service_pb2.PREDICTION_STATE_SUCCEEDED
        self._taken.latencies_ns.append(now - _ns(record.create_time))
        self._taken.deliveries_ns.append(now - _ns(record.end_time))

    def take(self) -> Taken:
        """Returns what came since the last time."""
        taken, self._taken = self._taken, Taken()
        taken.again, self.seen.again = self.seen.again, 0
        return taken


def _ns(instant: Timestamp) -> int:
    return instant.seconds * 1_000_000_000 + instant.nanos


async def _serve(secret: str) -> None:
    counter = Counter()
    receiver = GrpcReceiver(counter.handle, [secret], seen=counter.seen)
    async with receiver.serving() as target:
        gc.freeze()
        print(json.dumps({"target": target}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(asdict(counter.take())), flush=True)


def main() -> None:
    """Serves until its input ends."""
    event_loop.run(_serve(sys.stdin.readline().strip()))


if __name__ == "__main__":
    main()
