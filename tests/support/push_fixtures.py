"""What tests of pushing share: results, destinations, authorities."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

from tailrace.submissions.push.destination import Destination
from tailrace.submissions.push.push_item import PushItem, claim_item
from tailrace.submissions.push.target import parse_target
from tailrace.submissions.records import (
    DeliveryClaim,
    DeliveryState,
    State,
    StoredPrediction,
)
from tailrace.v1.prediction_service_pb2 import PredictResponse
from tailrace.webhooks.keys import make_secret
from tailrace.webhooks.signing import Signer

LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True)
class KeyedDestination:
    """A destination, and the key that its deliveries are verified with."""

    destination: Destination
    key: str


def keyed_destination(url: str, *, scheme: int = 1, max_batch: int = 1) -> KeyedDestination:
    """Returns a destination with a new secret."""
    secret, public = make_secret(scheme)
    destination = Destination(
        target=parse_target(url, allow_plaintext=True),
        signers=((Signer(secret), None),),
        max_batch=max_batch,
    )
    return KeyedDestination(destination, public or secret)


def stored_prediction(prediction_id: str, *, state: State = State.SUCCEEDED) -> StoredPrediction:
    """Returns a prediction as the queue keeps it once it is final."""
    outcome = b""
    if state is State.SUCCEEDED:
        response = PredictResponse(request_id=f"r-{prediction_id}", pipeline="echo")
        response.prediction["score"].double_value = 0.25
        response.prediction["label"].string_value = "grün"
        outcome = response.SerializeToString(deterministic=True)
    return StoredPrediction(
        prediction_id=prediction_id,
        tenant="acme",
        pipeline="echo",
        request_id=f"r-{prediction_id}",
        ordering_key="",
        priority=2,
        state=state,
        outcome=outcome,
        created_ms=1_790_000_000_000,
        started_ms=1_790_000_000_250,
        ended_ms=1_790_000_000_500,
        not_after_ms=None,
        run_attempts=1,
        callback_key="acme/hook",
        delivery_state=DeliveryState.PENDING,
        delivery_attempts=0,
        next_attempt_ms=None,
        delivery_ended_ms=None,
        dead_reason="",
    )


def push_item(prediction_id: str, *, attempt: int = 1, state: State = State.SUCCEEDED) -> PushItem:
    """Returns a result on its way."""
    return claim_item(
        DeliveryClaim(
            prediction_id=prediction_id,
            fence=attempt,
            attempt=attempt,
            prediction=stored_prediction(prediction_id, state=state),
            inline=b"",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
    )


@dataclass(frozen=True)
class Authority:
    """An authority of our own, and what it has signed."""

    ca: trustme.CA
    file: Path

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Returns what a server that is called by these names listens with."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*names).configure_cert(context)
        return context

    def server_pair(self, *names: str) -> tuple[bytes, bytes]:
        """Returns key and certificate chain of such a server, as PEM."""
        issued = self.ca.issue_cert(*names)
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        return issued.private_key_pem.bytes(), chain


def make_authority(folder: Path) -> Authority:
    """Returns a new authority, whose certificate is in a file of the folder."""
    ca, path = trustme.CA(), folder / "authority.pem"
    ca.cert_pem.write_to_path(str(path))
    return Authority(ca, path)
