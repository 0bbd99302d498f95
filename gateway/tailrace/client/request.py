"""The messages that ask for predictions."""

from __future__ import annotations

import enum
import math
import uuid
from collections.abc import Iterable, Sequence

from tailrace.client.errors import DeadlineExceeded, PredictionError, ServerFault, error_of_status
from tailrace.client.prediction import Prediction
from tailrace.client.values import Fields, to_value
from tailrace.v1 import prediction_service_pb2

DEFAULT_TIMEOUT_S = 5.0
"""Deadline of a call where neither the call nor the client names one, in seconds."""


class Priority(enum.IntEnum):
    """How important a request is when not all can be served; as `tailrace.v1.Priority`."""

    CRITICAL = 1
    """Shed last."""
    NORMAL = 2
    """The usual."""
    SHEDDABLE = 3
    """Shed first; background work."""


def new_request_id() -> str:
    """Returns a fresh id: made here, so that it is known even where no server answers."""
    return uuid.uuid4().hex


def default_timeout(timeout: float) -> float:
    """Returns the timeout of a client in seconds. Raises ValueError if it is none."""
    if not math.isfinite(timeout) or timeout <= 0:
        raise ValueError(f"a timeout is a finite number of seconds above zero, not {timeout}")
    return timeout


def checked_timeout(timeout: float) -> float:
    """Returns a timeout in seconds that a call may have.

    Raises:
        ValueError: not a finite number.
        DeadlineExceeded: no time left; such a call is not made, as its outcome would be a race.
    """
    if not math.isfinite(timeout):
        raise ValueError(f"a timeout is a finite number of seconds, not {timeout}")
    if timeout <= 0:
        raise DeadlineExceeded("no time was left, so nothing was sent")
    return timeout


def predict_request(
    pipeline: str,
    fields: Fields,
    *,
    pipeline_version: str,
    request_id: str,
    priority: Priority,
    tenant: str,
) -> prediction_service_pb2.PredictRequest:
    """Returns the message that asks for one prediction.

    Raises:
        InvalidRequest: a value that cannot be sent; nothing was.
    """
    try:
        values = {name: to_value(value, name) for name, value in fields.items()}
    except PredictionError as error:
        error.request_id = request_id
        raise
    return prediction_service_pb2.PredictRequest(
        pipeline=pipeline,
        pipeline_version=pipeline_version,
        request_id=request_id,
        fields=values,
        priority=int(priority),  # type: ignore[arg-type]  # the numbers of the protocol
        tenant=tenant,
    )


class BatchCall:
    """One call for many predictions; a row that cannot be sent fails by itself.

    Attributes:
        message: the request; holds the rows that can be sent, and may hold none.
    """

    def __init__(
        self,
        pipeline: str,
        rows: Iterable[Fields],
        *,
        pipeline_version: str,
        request_ids: Sequence[str] | None,
        priority: Priority,
        tenant: str,
    ) -> None:
        """Builds the message.

        Raises:
            ValueError: not as many request ids as rows.
        """
        self.message = prediction_service_pb2.PredictBatchRequest()
        self._outcomes: list[PredictionError | None] = []
        rows = list(rows)
        if request_ids is None:
            request_ids = [new_request_id() for _ in rows]
        for fields, request_id in zip(rows, request_ids, strict=True):
            try:
                request = predict_request(
                    pipeline,
                    fields,
                    pipeline_version=pipeline_version,
                    request_id=request_id,
                    priority=priority,
                    tenant=tenant,
                )
            except PredictionError as error:
                self._outcomes.append(error)
                continue
            self.message.requests.append(request)
            self._outcomes.append(None)

    def results(
        self, response: prediction_service_pb2.PredictBatchResponse
    ) -> list[Prediction | PredictionError]:
        """Returns one outcome per row, in the order of the rows.

        Raises:
            ServerFault: the server sent more or fewer results than it was asked for.
        """
        if len(response.results) != len(self.message.requests):
            raise ServerFault(
                f"{len(response.results)} results for {len(self.message.requests)} requests"
            )
        answers = iter(zip(self.message.requests, response.results, strict=True))
        return [
            error if error is not None else _outcome(*next(answers)) for error in self._outcomes
        ]


def _outcome(
    request: prediction_service_pb2.PredictRequest,
    result: prediction_service_pb2.PredictBatchResult,
) -> Prediction | PredictionError:
    if result.WhichOneof("outcome") != "response":
        return error_of_status(result.error, request.request_id)
    try:
        return Prediction.of_message(result.response)
    except ServerFault as error:
        return error
