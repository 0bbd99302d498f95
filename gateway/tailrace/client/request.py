"""The messages that ask for predictions."""

from __future__ import annotations

import enum
import math
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tailrace.client.errors import DeadlineExceeded, PredictionError, ServerFault
from tailrace.client.prediction import Prediction, outcome_of
from tailrace.client.values import Fields, write_value
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
    """Shed first."""
    BACKGROUND = 4
    """Served where nobody else waits."""


def new_request_id() -> str:
    """Returns a fresh id: made here, so that it is known even where no server answers."""
    return secrets.token_hex(16)


def fresh_request_ids() -> Iterator[str]:
    """Yields fresh ids without end."""
    while True:
        yield new_request_id()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTemplate:
    """What the requests of one call have in common.

    Attributes:
        pipeline: name of the pipeline.
        pipeline_version: its version; empty means the current one.
        priority: how important the requests are.
        tenant: whom they are made for.
        timeout_s: time allowed for each of them, in seconds; None where the call's deadline is
            all that there is.
    """

    pipeline: str
    pipeline_version: str
    priority: Priority
    tenant: str
    timeout_s: float | None = None

    def request(self, fields: Fields, request_id: str) -> prediction_service_pb2.PredictRequest:
        """Returns the message that asks for one prediction.

        Raises:
            InvalidRequest: a value that cannot be sent.
        """
        request = prediction_service_pb2.PredictRequest()
        self._fill(request, fields, request_id)
        return request

    def add(
        self,
        message: prediction_service_pb2.PredictBatchRequest
        | prediction_service_pb2.PredictStreamRequest,
        fields: Fields,
        request_id: str,
    ) -> None:
        """Adds a request to a message of many; where that fails, the message is as before.

        Raises:
            InvalidRequest: a value that cannot be sent.
        """
        request = message.requests.add()
        try:
            self._fill(request, fields, request_id)
        except BaseException:
            del message.requests[-1]
            raise

    def _fill(
        self, request: prediction_service_pb2.PredictRequest, fields: Fields, request_id: str
    ) -> None:
        request.pipeline = self.pipeline
        request.pipeline_version = self.pipeline_version
        request.request_id = request_id
        request.priority = int(self.priority)  # type: ignore[assignment]  # as in the protocol
        request.tenant = self.tenant
        if self.timeout_s is not None:
            request.timeout.FromNanoseconds(round(self.timeout_s * 1_000_000_000))
        values = request.fields
        try:
            for name, value in fields.items():
                write_value(values[name], value, name)
        except PredictionError as error:
            error.request_id = request_id
            raise


class BatchCall:
    """One call for many predictions; a row that cannot be sent fails by itself.

    Attributes:
        message: the request; holds the rows that can be sent, and may hold none.
    """

    def __init__(
        self, template: RequestTemplate, rows: Iterable[Fields], request_ids: Sequence[str] | None
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
                template.add(self.message, fields, request_id)
            except PredictionError as error:
                self._outcomes.append(error)
            else:
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
        return [error if error is not None else _answer(*next(answers)) for error in self._outcomes]


def _answer(
    request: prediction_service_pb2.PredictRequest,
    result: prediction_service_pb2.PredictBatchResult,
) -> Prediction | PredictionError:
    return outcome_of(result, request.request_id)
