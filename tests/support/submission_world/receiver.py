"""The receiver of the submission world, a process: webhooks and gRPC, into one journal.

Run as `python -m tests.support.submission_world.receiver CONFIG.json`; the file has the fields of
`ReceiverConfig`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from aiohttp import web
from google.rpc import code_pb2, status_pb2

from tailrace.runtime.ready_file import write_ready_file
from tailrace.v1 import callback_receiver_pb2 as messages
from tailrace.v1 import callback_receiver_pb2_grpc
from tailrace.webhooks.errors import SignatureError
from tailrace.webhooks.verifying import Verifier, parse_timestamp, split_signatures
from tests.support.submission_world.journal import Delivery, JournalWriter
from tests.support.submission_world.temper import Reaction, Temper, TemperSettings

GRPC = "grpc"


@dataclass(frozen=True, kw_only=True)
class ReceiverConfig:
    """What a receiver is told.

    Attributes:
        journal: where deliveries are written.
        ready_file: where it says which ports it has.
        grpc_port: 0 for a free one.
        http_port: 0 for a free one.
        seed: of its temper.
        temper: fields of `TemperSettings`.
        keys: what each endpoint verifies with: `grpc`, and paths of webhooks.
    """

    journal: str
    ready_file: str
    grpc_port: int
    http_port: int
    seed: int
    temper: Mapping[str, float]
    keys: Mapping[str, Sequence[str]]

    def write(self, path: Path) -> None:
        """Writes the file that the process reads."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> ReceiverConfig:
        """Reads it."""
        return cls(**json.loads(path.read_text()))


class Receiver(callback_receiver_pb2_grpc.CallbackReceiverServicer):
    """Takes deliveries; each is in the journal before it is confirmed."""

    def __init__(self, config: ReceiverConfig) -> None:
        self._journal = JournalWriter(Path(config.journal))
        self._temper = Temper(config.seed, TemperSettings(**config.temper))
        self._verifiers = {via: Verifier(keys) for via, keys in config.keys.items()}
        self._seen: set[str] = set()

    async def DeliverPrediction(
        self, request: messages.DeliverPredictionRequest, context: Any
    ) -> messages.DeliverPredictionResponse:
        """Takes one."""
        if not self._take_message(request.delivery):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        await asyncio.sleep(self._temper.delay_s())
        return messages.DeliverPredictionResponse()

    async def DeliverPredictions(
        self, request: messages.DeliverPredictionsRequest, context: Any
    ) -> messages.DeliverPredictionsResponse:
        """Takes many."""
        taken = [self._take_message(delivery) for delivery in request.deliveries]
        await asyncio.sleep(self._temper.delay_s())
        codes = [code_pb2.OK if one else code_pb2.UNAVAILABLE for one in taken]
        statuses = [status_pb2.Status(code=code) for code in codes]
        return messages.DeliverPredictionsResponse(statuses=statuses)

    async def take_webhook(self, request: web.Request) -> web.Response:
        """Takes one that came as a webhook."""
        headers = request.headers
        confirmed = self._take(
            via=request.path,
            prediction_id=headers.get("webhook-id", ""),
            timestamp=headers.get("webhook-timestamp", ""),
            signatures=split_signatures(headers.get("webhook-signature", "")),
            body=await request.read(),
            attempt=0,
        )
        await asyncio.sleep(self._temper.delay_s())
        return web.Response(status=204 if confirmed else 503)

    def _take_message(self, delivery: messages.Delivery) -> bool:
        return self._take(
            via=GRPC,
            prediction_id=delivery.delivery_id,
            timestamp=str(delivery.attempt_time.seconds),
            signatures=list(delivery.signatures),
            body=delivery.prediction_record,
            attempt=delivery.attempt,
        )

    def _take(
        self,
        *,
        via: str,
        prediction_id: str,
        timestamp: str,
        signatures: Sequence[str],
        body: bytes,
        attempt: int,
    ) -> bool:
        now_s = time.time()
        try:
            self._verifiers[via].verify(
                prediction_id, parse_timestamp(timestamp), body, signatures, now_s
            )
            verified = True
        except SignatureError:
            verified = False
        reaction = self._temper.reaction(prediction_id) if verified else Reaction.REFUSE
        is_new = prediction_id not in self._seen
        self._seen.add(prediction_id)
        self._journal.append(
            Delivery(
                prediction_id=prediction_id,
                via=via,
                digest=hashlib.sha256(body).hexdigest(),
                body=body if is_new else b"",
                attempt=attempt,
                verified=verified,
                confirmed=reaction is not Reaction.REFUSE,
                at_s=now_s,
            )
        )
        return reaction is Reaction.CONFIRM


async def _serve(config: ReceiverConfig) -> None:
    receiver = Receiver(config)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    callback_receiver_pb2_grpc.add_CallbackReceiverServicer_to_server(receiver, server)
    grpc_port = server.add_insecure_port(f"127.0.0.1:{config.grpc_port}")
    await server.start()
    application = web.Application()
    application.router.add_post("/{name}", receiver.take_webhook)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", config.http_port)
    await site.start()
    write_ready_file(
        Path(config.ready_file),
        {"pid": os.getpid(), "grpc_port": grpc_port, "http_port": runner.addresses[0][1]},
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(ReceiverConfig.read(Path(sys.argv[1]))))
