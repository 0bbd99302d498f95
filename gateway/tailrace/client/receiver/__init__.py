"""Receives results that are pushed: verified, each handed over once, confirmed when handled.

    from tailrace.client.receiver import PushedPrediction, WebhookReceiver

    def handle(pushed: PushedPrediction) -> None:
        print(pushed.prediction.id, pushed.prediction.state.name)

    WebhookReceiver(handle, ["whsec_…"]).run("127.0.0.1", 8443)

`GrpcReceiver` is the same over gRPC. Serving HTTPS needs aiohttp, and verifying ed25519 needs
cryptography: `pip install "tailrace[receiver]"`. gRPC, HMAC and `WebhookReceiver.receive`, the part
for a web framework of your own, need nothing more than the client does.
"""

from __future__ import annotations

from tailrace.client.receiver.grpc_receiver import GrpcReceiver
from tailrace.client.receiver.intake import Handler
from tailrace.client.receiver.pushed import Duplicate, Ping, PushedPrediction
from tailrace.client.receiver.refusals import CallbackGone, TryLater
from tailrace.client.receiver.seen import MemorySeenDeliveries, SeenDeliveries
from tailrace.client.receiver.webhook_receiver import WebhookReceiver
from tailrace.webhooks.errors import (
    MalformedDelivery,
    MalformedKey,
    NoMatchingSignature,
    SignatureError,
    TimestampTooNew,
    TimestampTooOld,
)

__all__ = [
    "CallbackGone",
    "Duplicate",
    "GrpcReceiver",
    "Handler",
    "MalformedDelivery",
    "MalformedKey",
    "MemorySeenDeliveries",
    "NoMatchingSignature",
    "Ping",
    "PushedPrediction",
    "SeenDeliveries",
    "SignatureError",
    "TimestampTooNew",
    "TimestampTooOld",
    "TryLater",
    "WebhookReceiver",
]
