"""What a call may raise: one type per kind of trouble, with what the server said about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

STATUS_DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

_PLACES_SHOWN = 5
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class PredictionError(Exception):
    """A prediction that was not made.

    Attributes:
        code: the gRPC status code.
        message: what went wrong, for a developer.
        reason: what went wrong, machine-readable: a name of `tailrace.v1.ErrorReason` without
            its prefix, such as `INVALID_FIELD`; empty if the server gave none, as where it
            could not be reached.
        field: path of the field at fault, such as `fields.origin`, or empty.
        request_id: id under which the server's logs know the request.
        trace_id: id of the trace that the request belongs to, for logs and traces; empty where the
            server did not tell it.
        retry_after_s: when the server wants to be asked again, in seconds, or None.
        idempotency_key: of a submission that may have been accepted: the key to repeat it under,
            which may be one that the client made, or empty if it was sent without; else None.
        unanswered: of a stream that broke: the requests without an answer, their ids by the
            place of their row in the input, from 0. Some of them may have been served.
    """

    default_code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        field: str = "",
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        """Keeps the fields; `code` defaults to that of the type."""
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.reason = reason
        self.field = field
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.trace_id = ""
        self.idempotency_key: str | None = None
        self.unanswered: dict[int, str] = {}

    def __str__(self) -> str:
        """Returns all that is known, in one line."""
        code = f"{self.code.name} ({self.reason})" if self.reason else self.code.name
        where = f" at {self.field}" if self.field else ""
        ids = {"request": self.request_id, "trace": self.trace_id}
        known = ", ".join(f"{kind} {value}" for kind, value in ids.items() if value)
        request = f" [{known}]" if known else ""
        return f"{code}{where}: {self.message}{request}{self._lost()}{self._doubt()}"

    def _doubt(self) -> str:
        if self.idempotency_key is None:
            return ""
        if not self.idempotency_key:
            return "; it may have been accepted, and was sent without an idempotency key"
        key = self.idempotency_key
        return f"; it may have been accepted; to repeat it, use the idempotency key {key}"

    def _lost(self) -> str:
        places = sorted(self.unanswered)
        if not places:
            return ""
        more = ", …" if len(places) > _PLACES_SHOWN else ""
        shown = ", ".join(map(str, places[:_PLACES_SHOWN]))
        return f"; rows of the stream without an answer: {len(places)} ({shown}{more})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Lets the error cross from one process to another with all its fields."""
        return _rebuilt, (type(self), dict(vars(self)))


class InvalidRequest(PredictionError):
    """The request is not what the pipeline's schema says; `field` names where."""

    default_code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(PredictionError):
    """No such pipeline, version, model or entity; `reason` says which."""

    default_code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(PredictionError):
    """A callback of that name, or another submission under that idempotency key; see `reason`."""

    default_code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(PredictionError):
    """The state of the server does not allow the request, as where features are too old."""

    default_code = grpc.StatusCode.FAILED_PRECONDITION


class DeadlineExceeded(PredictionError):
    """There was not enough time."""

    default_code = grpc.StatusCode.DEADLINE_EXCEEDED


class Overloaded(PredictionError):
    """The server sheds load, or a quota or size limit is reached; see `retry_after_s`."""

    default_code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(PredictionError):
    """The server, or something it needs, cannot be reached or cannot serve now."""

    default_code = grpc.StatusCode.UNAVAILABLE


class AccessDenied(PredictionError):
    """The caller is not known, or not allowed to ask."""

    default_code = grpc.StatusCode.PERMISSION_DENIED


class ServerFault(PredictionError):
    """The server failed; the message may hold an id under which its log has the rest."""

    default_code = grpc.StatusCode.INTERNAL


_TYPES: dict[grpc.StatusCode, type[PredictionError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.UNAUTHENTICATED: AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: AccessDenied,
    grpc.StatusCode.INTERNAL: ServerFault,
    grpc.StatusCode.DATA_LOSS: ServerFault,
}


def error_of_call(failure: Any, request_id: str = "") -> PredictionError:
    """Returns what a failed call means.

    Args:
        failure: the `grpc.RpcError` of a sync or of an async call.
        request_id: id of the request, where the server does not name it.
    """
    code: grpc.StatusCode = failure.code()
    message = failure.details() or code.name
    metadata = list(failure.trailing_metadata() or ())
    status = _read_status(metadata)
    # The details may come from elsewhere, such as a proxy: what the call itself says goes first.
    status.code, status.message = code.value[0], message
    error = error_of_status(status, request_id)
    if error.retry_after_s is None:
        error.retry_after_s = _pushback_s(metadata)
    return error


def error_of_status(status: status_pb2.Status, request_id: str = "") -> PredictionError:
    """Returns what a `google.rpc.Status` means, its details included.

    Args:
        status: as received.
        request_id: id of the request, where the status does not name it.
    """
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    error = _TYPES.get(code, PredictionError)(
        status.message or code.name, code=code, request_id=request_id
    )
    for detail in status.details:
        try:
            _take(error, detail)
        except DecodeError:
            continue
    return error


def _take(error: PredictionError, detail: Any) -> None:
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.RequestInfo()
    if detail.Unpack(info):
        error.reason = info.reason
        error.field = error.field or info.metadata.get("field", "")
        error.trace_id = info.metadata.get("trace_id", "")
    elif detail.Unpack(bad_request) and bad_request.field_violations:
        error.field = error.field or bad_request.field_violations[0].field
    elif detail.Unpack(retry):
        error.retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    elif detail.Unpack(request) and request.request_id:
        error.request_id = request.request_id


def _read_status(metadata: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status:
    for key, value in metadata:
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _pushback_s(metadata: Iterable[tuple[str, str | bytes]]) -> float | None:
    for key, value in metadata:
        # A negative number means "do not ask again".
        if key == PUSHBACK_KEY and isinstance(value, str) and value.isdigit():
            return int(value) / 1000
    return None


def _rebuilt(kind: type[PredictionError], attributes: dict[str, Any]) -> PredictionError:
    error = kind(attributes["message"])
    vars(error).update(attributes)
    return error
