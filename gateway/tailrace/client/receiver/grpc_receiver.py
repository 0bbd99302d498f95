"""Receives results over gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from tailrace.client.errors import STATUS_DETAILS_KEY
from tailrace.client.receiver.intake import Handler, Intake
from tailrace.client.receiver.pushed import PushedPrediction
from tailrace.client.receiver.refusals import CallbackGone, TryLater
from tailrace.client.receiver.seen import SeenDeliveries
from tailrace.client.submission_request import duration
from tailrace.client.tensor import EPOCH
from tailrace.client.transport import DEFAULT_MAX_MESSAGE_BYTES
from tailrace.v1 import callback_receiver_pb2 as messages
from tailrace.v1.callback_receiver_pb2_grpc import (
    CallbackReceiverServicer,
    add_CallbackReceiverServicer_to_server,
)
from tailrace.v1.prediction_service_pb2 import PREDICTION_STATE_UNSPECIFIED, PredictionRecord
from tailrace.webhooks.errors import MalformedDelivery, SignatureError
from tailrace.webhooks.verifying import TOLERANCE_S, Verifier

_DRAIN_S = 10.0
_OK = status_pb2.Status()


class GrpcReceiver(CallbackReceiverServicer):
    """Verifies deliveries, drops duplicates, and hands the others to a handler.

    It is a servicer for a `grpc.aio` server; `run` and `serving` bring a server of its own.
    """

    def __init__(
        self,
        handler: Handler,
        keys: Sequence[str],
        *,
        seen: SeenDeliveries | None = None,
        tolerance_s: int = TOLERANCE_S,
    ) -> None:
        """Reads the keys; arguments are those of `WebhookReceiver`. Raises MalformedKey."""
        self._verifier = Verifier(keys, tolerance_s=tolerance_s)
        self._intake = Intake(handler, seen)

    async def DeliverPrediction(
        self, request: messages.DeliverPredictionRequest, context: Any
    ) -> messages.DeliverPredictionResponse:
        """Takes one result."""
        (status,) = await self._take([request.delivery])
        if status.code:
            details = ((STATUS_DETAILS_KEY, status.SerializeToString()),)
            await context.abort(_CODES[status.code], status.message, details)
        return messages.DeliverPredictionResponse()

    async def DeliverPredictions(
        self, request: messages.DeliverPredictionsRequest, context: Any
    ) -> messages.DeliverPredictionsResponse:
        """Takes many results, each for itself."""
        return messages.DeliverPredictionsResponse(statuses=await self._take(request.deliveries))

    @contextlib.asynccontextmanager
    async def serving(
        self,
        address: str = "127.0.0.1:0",
        *,
        certificate_file: Path | str | None = None,
        key_file: Path | str | None = None,
    ) -> AsyncIterator[str]:
        """Serves inside the block, which is given the target to register.

        What is being handled at its end is waited for.

        Args:
            address: host and port to listen on; port 0 for a free one.
            certificate_file: PEM certificate chain; without it, there is no TLS.
            key_file: PEM private key.

        Raises:
            OSError: a file cannot be read.
            RuntimeError: the port is in use.
            ValueError: a certificate without its key.
        """
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", DEFAULT_MAX_MESSAGE_BYTES),
        ]
        server = grpc.aio.server(options=options)
        add_CallbackReceiverServicer_to_server(self, server)
        if certificate_file is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, _credentials(certificate_file, key_file))
        await server.start()
        try:
            scheme = "grpc" if certificate_file is None else "grpcs"
            yield f"{scheme}://{address.rpartition(':')[0]}:{port}"
        finally:
            await server.stop(_DRAIN_S)
            await self._intake.drain()

    def run(
        self,
        address: str = "127.0.0.1:0",
        *,
        certificate_file: Path | str | None = None,
        key_file: Path | str | None = None,
    ) -> None:
        """Prints the target, and serves until Ctrl-C or SIGTERM; see `serving`."""
        from tailrace.client.receiver.running import run_until_told

        serving = self.serving(address, certificate_file=certificate_file, key_file=key_file)
        asyncio.run(run_until_told(serving))

    async def _take(self, deliveries: Sequence[messages.Delivery]) -> list[status_pb2.Status]:
        statuses = [_OK] * len(deliveries)
        pushed: list[PushedPrediction] = []
        places: list[int] = []
        for place, delivery in enumerate(deliveries):
            try:
                one = self._read(delivery)
            except SignatureError as error:
                statuses[place] = _refusal(error)
                continue
            if one is not None:
                pushed.append(one)
                places.append(place)
        for place, failure in zip(places, await self._intake.take(pushed), strict=True):
            if failure is not None:
                statuses[place] = _failure(failure)
        return statuses

    def _read(self, delivery: messages.Delivery) -> PushedPrediction | None:
        """Returns the result; None for a ping. Raises SignatureError."""
        sent, content = delivery.attempt_time, delivery.prediction_record
        self._verifier.verify(
            delivery.delivery_id, sent.seconds, content, delivery.signatures, time.time()
        )
        try:
            record = PredictionRecord.FromString(content)
        except DecodeError as error:
            raise MalformedDelivery("the content is no prediction record") from error
        if record.state == PREDICTION_STATE_UNSPECIFIED:
            return None
        return PushedPrediction(
            delivery_id=delivery.delivery_id,
            sent_at=EPOCH + timedelta(seconds=sent.seconds, microseconds=sent.nanos // 1000),
            attempt=delivery.attempt,
            traceparent=delivery.traceparent,
            record=record,
            tracestate=delivery.tracestate,
        )


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _refusal(error: SignatureError) -> status_pb2.Status:
    malformed = isinstance(error, MalformedDelivery)
    code = grpc.StatusCode.INVALID_ARGUMENT if malformed else grpc.StatusCode.UNAUTHENTICATED
    return status_pb2.Status(code=code.value[0], message=str(error))


def _failure(error: Exception) -> status_pb2.Status:
    if isinstance(error, CallbackGone):
        status = _status(grpc.StatusCode.FAILED_PRECONDITION, "no result is wanted any more")
        info = error_details_pb2.ErrorInfo(reason="CALLBACK_GONE", domain="tailrace")
        status.details.add().Pack(info)
        return status
    if isinstance(error, TryLater):
        status = _status(grpc.StatusCode.UNAVAILABLE, "not now")
        if error.retry_after_s is not None:
            retry = error_details_pb2.RetryInfo(retry_delay=duration(error.retry_after_s))
            status.details.add().Pack(retry)
        return status
    return _status(grpc.StatusCode.INTERNAL, "the handler failed")


def _status(code: grpc.StatusCode, message: str) -> status_pb2.Status:
    return status_pb2.Status(code=code.value[0], message=message)


def _credentials(
    certificate_file: Path | str, key_file: Path | str | None
) -> grpc.ServerCredentials:
    if key_file is None:
        raise ValueError("certificate and key go together")
    pair = (Path(key_file).read_bytes(), Path(certificate_file).read_bytes())
    return grpc.ssl_server_credentials([pair])
