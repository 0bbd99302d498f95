"""One prediction as the caller gets it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace.client.errors import PredictionError, ServerFault, error_of_status
from tailrace.client.ledger import Ledger, hop_name
from tailrace.client.values import PythonValue, from_value
from tailrace.v1 import ledger_pb2, prediction_service_pb2


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


class _LedgerOnDemand:
    """Reads the ledger when it is first asked for: to read it takes half of reading an answer."""

    # Bytes, as a part of a message would keep all of the message, and with it all other answers.
    __slots__ = ("_ledger_bytes",)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Ledger:
            # Python asks here where a slot is empty.
            if name != "ledger":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            ledger = Ledger.of_message(ledger_pb2.Ledger.FromString(self._ledger_bytes))
            object.__setattr__(self, "ledger", ledger)
            return ledger


@dataclass(frozen=True, slots=True)
class Prediction(_LedgerOnDemand):
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
        model, reasons = message.model, message.quality_reasons
        prediction = object.__new__(cls)
        set_field = object.__setattr__
        set_field(prediction, "values", values)
        set_field(prediction, "quality", _QUALITIES.get(message.quality, Quality.UNSPECIFIED))
        set_field(prediction, "quality_reasons", tuple(map(_reason, reasons)) if reasons else ())
        set_field(prediction, "pipeline", message.pipeline)
        set_field(prediction, "pipeline_version", message.pipeline_version)
        set_field(prediction, "model_name", model.name)
        set_field(prediction, "model_version", model.version)
        set_field(prediction, "request_id", message.request_id)
        set_field(prediction, "_ledger_bytes", message.ledger.SerializeToString())
        return prediction


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
