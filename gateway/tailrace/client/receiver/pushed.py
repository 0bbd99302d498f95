"""What a receiver is handed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from tailrace.client.submission import StoredPrediction
from tailrace.v1.prediction_service_pb2 import PredictionRecord


@dataclass(frozen=True, kw_only=True)
class PushedPrediction:
    """A result that was pushed, and comes from who knows the secret.

    Attributes:
        delivery_id: the prediction's id; the same in every attempt.
        sent_at: when this attempt was signed, by the courier's clock.
        attempt: which attempt this is, from 1; None over HTTPS, which does not tell.
        traceparent: W3C `traceparent`, in the trace of the submission; may be empty.
        record: the message that was pushed.
        tracestate: W3C `tracestate` of the submission; may be empty.
    """

    delivery_id: str
    sent_at: datetime
    attempt: int | None
    traceparent: str
    record: PredictionRecord = field(repr=False)
    tracestate: str = ""

    @cached_property
    def prediction(self) -> StoredPrediction:
        """The submission with its outcome; without its `delivery`."""
        return StoredPrediction.of_message(self.record)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A delivery that has been handled already: it only needs to be confirmed again.

    Attributes:
        delivery_id: its id.
    """

    delivery_id: str


@dataclass(frozen=True, slots=True)
class Ping:
    """A test of the callback, or an event of a kind that this version does not know.

    Attributes:
        delivery_id: its id.
        event: its type; empty over gRPC.
    """

    delivery_id: str
    event: str
