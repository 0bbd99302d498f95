"""One result on its way to a callback, as every attempt sends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf import json_format
from google.rpc import error_details_pb2  # the details of outcomes are read by their names

from tailrace.submissions.record_message import record_bytes
from tailrace.submissions.records import DeliveryClaim, State
from tailrace.v1.prediction_service_pb2 import PredictionRecord

PING_TYPE = "ping"
_TYPES = {
    State.SUCCEEDED: "prediction.succeeded",
    State.FAILED: "prediction.failed",
    State.EXPIRED: "prediction.expired",
    State.CANCELLED: "prediction.cancelled",
}
_DETAILS = error_details_pb2.DESCRIPTOR


@dataclass(slots=True, kw_only=True)
class PushItem:
    """What is sent, but for the time and the signatures of an attempt.

    Attributes:
        delivery_id: the prediction's id; the same in every attempt.
        attempt: which attempt this is, from 1.
        record: serialised `PredictionRecord` without `delivery`; the same bytes in every attempt.
        webhook_body: makes the JSON body; the same bytes in every attempt.
        traceparent, tracestate: W3C headers of the span that the receiver's are to be below; may be
            empty.
    """

    delivery_id: str
    attempt: int
    record: bytes
    webhook_body: Callable[[], bytes]
    traceparent: str = ""
    tracestate: str = ""


def claim_item(claim: DeliveryClaim) -> PushItem:
    """Returns what is to be sent for a claim; its body is made when it is wanted."""
    stored = claim.prediction
    record = record_bytes(stored)

    def body() -> bytes:
        ended_ms = stored.ended_ms if stored.ended_ms is not None else stored.created_ms
        return webhook_body(_TYPES[stored.state], ended_ms, record)

    return PushItem(
        delivery_id=claim.prediction_id,
        attempt=claim.attempt,
        record=record,
        webhook_body=body,
        traceparent=claim.traceparent,
        tracestate=claim.tracestate,
    )


def ping_item(ping_id: str, now_ms: int) -> PushItem:
    """Returns a ping: a webhook of type `ping`, or an empty record with the ping's id."""
    record = PredictionRecord(prediction_id=ping_id).SerializeToString(deterministic=True)
    return PushItem(
        delivery_id=ping_id,
        attempt=1,
        record=record,
        webhook_body=lambda: webhook_body(PING_TYPE, now_ms, record),
    )


def webhook_body(event_type: str, instant_ms: int, record: bytes) -> bytes:
    """Returns the body of a webhook, the same for the same record.

    Args:
        event_type: such as `prediction.succeeded`.
        instant_ms: when it happened, in ms since 1970.
        record: serialised `PredictionRecord`.
    """
    message = PredictionRecord.FromString(record)
    content = {
        "type": event_type,
        "timestamp": _iso(instant_ms),
        "data": json_format.MessageToDict(message),
    }
    # Maps have no order of their own; sorted, all attempts and all couriers agree.
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def _iso(instant_ms: int) -> str:
    instant = datetime.fromtimestamp(instant_ms // 1000, UTC)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant_ms % 1000:03d}Z"
