"""`python -m tailrace.loadtest.bench.submission_receiver`: takes results, in a process of its own.

The client library's receivers: signatures verified, duplicates dropped. Each result is compared
with the answer that the same flight gets synchronously; the flight is named by the request id.
Listens on free ports, which it tells as a line of JSON; each line of its input is answered with
what it has taken since the last one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import time_ns

from tailrace.client.receiver import GrpcReceiver, PushedPrediction, WebhookReceiver
from tailrace.loadtest.bench.agreement import TOLERANCE
from tailrace.loadtest.bench.delivery_feed import FeedWriter, digest_of, digest_text
from tailrace.runtime import event_loop
from tailrace.v1 import prediction_service_pb2

_NS_PER_US = 1000


@dataclass(slots=True)
class Taken:
    """What a receiver has taken.

    Attributes:
        digests: of the ids, as `digest_text` writes them.
        wrong: results with another score than expected, or none at all.
        degraded: the same, where the result calls itself degraded.
        latencies_us: from the submission until here.
    """

    digests: str = ""
    wrong: int = 0
    degraded: int = 0
    latencies_us: list[int] = field(default_factory=list)


class Recorder:
    """Counts and compares results."""

    def __init__(self, feed: FeedWriter, expected: list[float]) -> None:
        """Takes the score of each flight."""
        self._feed = feed
        self._expected = expected
        self._digests: list[int] = []
        self._taken = Taken()

    async def handle(self, pushed: PushedPrediction) -> None:
        """Takes one result."""
        record = pushed.record
        response = record.response
        score = response.prediction["probability"].double_value
        if not abs(score - self._expected[int(record.request_id)]) <= TOLERANCE:
            if response.quality in (0, prediction_service_pb2.QUALITY_LIVE):
                self._taken.wrong += 1
            else:
                self._taken.degraded += 1
        created = record.create_time
        created_us = created.seconds * 1_000_000 + created.nanos // _NS_PER_US
        self._taken.latencies_us.append(time_ns() // _NS_PER_US - created_us)
        self._digests.append(digest_of(pushed.delivery_id))
        self._feed.count()

    def take(self) -> Taken:
        """Returns what came since the last time."""
        taken, self._taken = self._taken, Taken()
        taken.digests = digest_text(self._digests)
        self._digests = []
        return taken


async def _serve(socket: Path, expected: list[float], secret: str) -> None:
    feed = FeedWriter()
    recorder = Recorder(feed, expected)
    async with contextlib.AsyncExitStack() as stack:
        grpc = GrpcReceiver(recorder.handle, [secret])
        webhook = WebhookReceiver(recorder.handle, [secret])
        targets = {
            "grpc": await stack.enter_async_context(grpc.serving()),
            "webhook": await stack.enter_async_context(webhook.serving()),
        }
        await stack.enter_async_context(await feed.serve(socket))
        gc.freeze()
        print(json.dumps(targets), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(asdict(recorder.take())), flush=True)


def main() -> None:
    """Serves until its input ends."""
    parser = argparse.ArgumentParser(prog="python -m tailrace.loadtest.bench.submission_receiver")
    parser.add_argument("--socket", type=Path, required=True, help="tells how many it has taken")
    parser.add_argument("--expected", type=Path, required=True, help="JSON: score of each flight")
    parser.add_argument("--secret", required=True, help="that deliveries are signed with")
    options = parser.parse_args()
    expected: list[float] = json.loads(options.expected.read_text())
    event_loop.run(_serve(options.socket, expected, options.secret))


if __name__ == "__main__":
    main()
