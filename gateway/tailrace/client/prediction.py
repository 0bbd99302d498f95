"""One prediction as the caller gets it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from tailrace.client.errors import PredictionError, ServerFault, error_of_status
from tailrace.client.ledger import Ledger, hop_name
from tailrace.client.values import PythonValue, from_value
from tailrace.v1 import prediction_service_pb2


class Quality(enum.Enum):
    """How an answer was made; the numbers of `tailrace.v1.Quality`."""

    UNSPECIFIED = 0
    """Not told, or a degradation that this version of the client does not know."""
    LIVE = 1
    """The whole pipeline, with fresh features."""
    STALE_FEATURES = 2
    """Some features were older than their view allows."""
    DEFAULT_FEATURES = 3
    """Some features were missing and their defaults were used."""
    CACHED = 4
    """An earlier answer to the same request."""
    PRECOMPUTED = 5
    """An answer computed ahead of time."""
    PRIOR = 6
    """The pipeline's prior, no model involved."""


_QUALITIES = {quality.value: quality for quality in Quality}


@dataclass(frozen=True, slots=True)
class QualityReason:
    """One reason why an answer is not live.

    Attributes:
        quality: the degradation.
        hop: the hop at which it happened.
        detail: what happened, such as `plane: missing`.
    """

    quality: Quality
    hop: str
    detail: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One prediction.

    Attributes:
        values: the prediction by output name.
        quality: how the answer was made: the worst of the reasons, else LIVE.
        quality_reasons: why it is not live; empty if it is.
        pipeline: name of the pipeline.
        pipeline_version: exact version of the pipeline that answered.
        model_name: name of the model in the model server.
        model_version: version of the model that answered.
        request_id: id under which the server's logs know the request.
        ledger: where the time went.
    """

    values: dict[str, PythonValue]
    quality: Quality
    quality_reasons: tuple[QualityReason, ...]
    pipeline: str
    pipeline_version: str
    model_name: str
    model_version: str
    request_id: str
    ledger: Ledger

    @classmethod
    def of_message(cls, message: prediction_service_pb2.PredictResponse) -> Prediction:
        """Returns the prediction that a server sent.

        Raises:
            ServerFault: a value that this version of the client cannot read.
        """
        try:
            values = {name: from_value(value) for name, value in message.prediction.items()}
        except ValueError as error:
            raise ServerFault(
                f"the answer cannot be read: {error}", request_id=message.request_id
            ) from error
        return cls(
            values=values,
            quality=_QUALITIES.get(message.quality, Quality.UNSPECIFIED),
            quality_reasons=tuple(_reason(reason) for reason in message.quality_reasons),
            pipeline=message.pipeline,
            pipeline_version=message.pipeline_version,
            model_name=message.model.name,
            model_version=message.model.version,
            request_id=message.request_id,
            ledger=Ledger.of_message(message.ledger),
        )


def outcome_of(
    result: prediction_service_pb2.PredictBatchResult | prediction_service_pb2.PredictStreamResult,
    request_id: str,
) -> Prediction | PredictionError:
    """Returns what became of one request of many: the prediction, or why there is none.

    Args:
        result: as received.
        request_id: id of the request, where an error does not name it.
    """
    outcome = result.WhichOneof("outcome")
    if outcome == "error":
        return error_of_status(result.error, request_id)
    if outcome is None:
        return ServerFault("a result without a prediction or an error", request_id=request_id)
    try:
        return Prediction.of_message(result.response)
    except ServerFault as error:
        return error


def _reason(message: prediction_service_pb2.QualityReason) -> QualityReason:
    return QualityReason(
        quality=_QUALITIES.get(message.quality, Quality.UNSPECIFIED),
        hop=hop_name(message.hop),
        detail=message.detail,
    )
