"""The predictions in messages of Tailrace's, and what stands in place of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from tailrace.loadtest.hops.hop_tally import HopTally, count_kind
from tailrace.v1 import ledger_pb2
from tailrace.v1 import prediction_service_pb2 as pb

Answers = Callable[[Any, HopTally], Iterable[pb.PredictResponse]]

# What a server says is kept to this, so that kinds stay small.
_TEXT_CHARS = 120


def _one(message: pb.PredictResponse, tally: HopTally) -> Iterable[pb.PredictResponse]:
    return (message,)


def _rows(
    message: pb.PredictBatchResponse | pb.PredictStreamResponse, tally: HopTally
) -> Iterable[pb.PredictResponse]:
    responses = []
    for result in message.results:
        outcome = result.WhichOneof("outcome")
        if outcome == "response":
            responses.append(result.response)
        elif outcome == "error":
            count_kind(tally.errors, error_text(result.error))
        else:
            tally.unreadable += 1
    return responses


def _submission(message: pb.GetPredictionResponse, tally: HopTally) -> Iterable[pb.PredictResponse]:
    record = message.prediction
    outcome = record.WhichOneof("outcome")
    if outcome == "response":
        return (record.response,)
    if outcome == "error":
        count_kind(tally.errors, error_text(record.error))
    else:
        tally.pending += 1
    return ()


KINDS: dict[str, tuple[type[Message], Answers]] = {
    "Predict": (pb.PredictResponse, _one),
    "PredictBatch": (pb.PredictBatchResponse, _rows),
    "PredictStream": (pb.PredictStreamResponse, _rows),
    "GetPrediction": (pb.GetPredictionResponse, _submission),
}
"""By method: what it answers with, and what returns the predictions of a message and counts, in a
tally, what stands in place of others."""


def quality_name(quality: int) -> str:
    """Returns the name of a quality, such as `LIVE`, or its number if it has none here."""
    return _name(pb.Quality.DESCRIPTOR, quality).removeprefix("QUALITY_")


def reason_text(reason: pb.QualityReason) -> str:
    """Returns why an answer is not live, such as `STALE_FEATURES features: plane: stale`."""
    hop = _name(ledger_pb2.Hop.DESCRIPTOR, reason.hop).removeprefix("HOP_").lower()
    return f"{quality_name(reason.quality)} {hop}: {reason.detail}"[:_TEXT_CHARS]


def error_text(error: status_pb2.Status) -> str:
    """Returns code and reason of an error, such as `RESOURCE_EXHAUSTED QUEUE_FULL`."""
    code = _name(code_pb2.Code.DESCRIPTOR, error.code)
    info = error_details_pb2.ErrorInfo()
    for detail in error.details:
        if detail.Unpack(info):
            return f"{code} {info.reason}"[:_TEXT_CHARS]
    return code


def _name(names: EnumDescriptor, number: int) -> str:
    value = names.values_by_number.get(number)
    return value.name if value is not None else str(number)
