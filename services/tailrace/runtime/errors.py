"""Typed errors: what went wrong, whether it may be retried, and what a caller may be told.

Code raises one of these types; a single interceptor (`tailrace.runtime.error_mapping`) turns
them into gRPC statuses. Rows of a batch fail with the same types, kept beside the row.
"""

from __future__ import annotations

import enum
from typing import ClassVar


class Code(enum.IntEnum):
    """gRPC status codes, with the numbers of `google.rpc.Code`."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Reason(enum.IntEnum):
    """Machine-readable reasons; the numbers of `tailrace.v1.ErrorReason`."""

    UNSPECIFIED = 0
    INVALID_FIELD = 1
    INVALID_TENSOR = 2
    INVALID_BATCH = 3
    LIMIT_EXCEEDED = 4
    PIPELINE_NOT_FOUND = 5
    PIPELINE_VERSION_NOT_FOUND = 6
    MODEL_NOT_FOUND = 7
    ENTITY_NOT_FOUND = 8
    FEATURES_STALE = 9
    VIEW_NOT_LOADED = 10
    FEATURES_CORRUPT = 11
    DEADLINE_EXCEEDED = 12
    BUDGET_TOO_SMALL = 13
    FEATURE_STORE_UNAVAILABLE = 14
    MODEL_UNAVAILABLE = 15
    HOP_UNAVAILABLE = 16
    MODEL_QUEUE_FULL = 17
    MODEL_OUTPUT_INVALID = 18
    MODEL_MISMATCH = 19
    USER_FUNCTION_FAILED = 20
    INTERNAL = 21
    CANCELLED = 22
    DRAINING = 23
    PIPELINE_VERSION_NOT_READY = 24
    QUEUE_TOO_LONG = 25
    QUEUE_FULL = 26
    QUEUE_UNAVAILABLE = 27
    BACKLOG_FULL = 28
    IDEMPOTENCY_CONFLICT = 29
    PREDICTION_NOT_FOUND = 30
    PREDICTION_ENDED = 31
    CALLBACK_NOT_FOUND = 32
    CALLBACK_EXISTS = 33
    CALLBACK_DISABLED = 34
    CALLBACK_NOT_ALLOWED = 35
    POSITION_TOO_OLD = 36
    EXPIRED = 37
    SUBMISSION_CANCELLED = 38
    POISON = 39
    NO_QUEUE = 40
    CALLBACK_GONE = 41
    TOO_MANY_SECRETS = 42
    VIEW_NOT_FOUND = 43
    EVENT_TYPE_NOT_FOUND = 44
    EVENT_LATE = 45
    EVENT_IN_FUTURE = 46
    SCHEMA_CHANGED = 47
    INVALID_EVENT = 48
    FEATURES_NOT_KEPT = 49


class TailraceError(Exception):
    """Base of all errors that have a place in the protocol.

    Attributes:
        message: for a developer; never holds payload or secrets.
        field: path of the field at fault, such as `fields.origin`, or empty.
        retry_after_ms: pushback hint in milliseconds, or None.
        trace_id: of the request that failed so, where it is known; else empty.
    """

    code: ClassVar[Code] = Code.INTERNAL
    default_reason: ClassVar[Reason] = Reason.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        reason: Reason | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        """Keeps the fields; `reason` defaults to the type's own."""
        super().__init__(message)
        self.message = message
        self.field = field
        self.reason = self.default_reason if reason is None else reason
        self.retry_after_ms = retry_after_ms
        self.trace_id = ""

    def of_trace(self, trace_id: str) -> TailraceError:
        """Returns the error for a request of this trace; a copy, if it is another request's, too.

        The rows of a convoy may have failed with one error.
        """
        if not self.trace_id:
            self.trace_id = trace_id
        if self.trace_id == trace_id:
            return self
        own = type(self).__new__(type(self), *self.args)
        vars(own).update(vars(self))
        own.trace_id = trace_id
        return own


class InvalidField(TailraceError):
    """A field is missing, unknown, of the wrong type or out of range."""

    code = Code.INVALID_ARGUMENT
    default_reason = Reason.INVALID_FIELD


class InvalidTensor(TailraceError):
    """A tensor contradicts itself or its declared type."""

    code = Code.INVALID_ARGUMENT
    default_reason = Reason.INVALID_TENSOR


class InvalidBatch(TailraceError):
    """A batch contradicts itself."""

    code = Code.INVALID_ARGUMENT
    default_reason = Reason.INVALID_BATCH


class LimitExceeded(TailraceError):
    """Too many rows, fields or keys for one call."""

    code = Code.INVALID_ARGUMENT
    default_reason = Reason.LIMIT_EXCEEDED


class NotFound(TailraceError):
    """A pipeline, version, model or entity does not exist; the reason says which."""

    code = Code.NOT_FOUND
    default_reason = Reason.PIPELINE_NOT_FOUND


class FailedPrecondition(TailraceError):
    """The system's state does not allow the request; the reason says why."""

    code = Code.FAILED_PRECONDITION
    default_reason = Reason.FEATURES_STALE


class SchemaChanged(FailedPrecondition):
    """What is stored of a feature view was made by another definition of it."""

    default_reason = Reason.SCHEMA_CHANGED


class FeaturesCorrupt(TailraceError):
    """A stored feature row cannot be read: wrong format version, schema or length."""

    code = Code.DATA_LOSS
    default_reason = Reason.FEATURES_CORRUPT


class DeadlineExceeded(TailraceError):
    """The deadline passed, or less was left than a hop needs."""

    code = Code.DEADLINE_EXCEEDED
    default_reason = Reason.DEADLINE_EXCEEDED


class Unavailable(TailraceError):
    """Something needed cannot be reached or serve now. Nothing was executed."""

    code = Code.UNAVAILABLE
    default_reason = Reason.HOP_UNAVAILABLE
    retryable = True


class Overloaded(TailraceError):
    """Shed: a queue is full. A retry at once would make it worse."""

    code = Code.RESOURCE_EXHAUSTED
    default_reason = Reason.MODEL_QUEUE_FULL


class ModelOutputInvalid(TailraceError):
    """The model answered with NaN, infinity, or a wrong shape or type."""

    code = Code.INTERNAL
    default_reason = Reason.MODEL_OUTPUT_INVALID


class UserFunctionFailed(TailraceError):
    """A user function raised, or returned something unusable."""

    code = Code.INTERNAL
    default_reason = Reason.USER_FUNCTION_FAILED


class AlreadyExists(TailraceError):
    """What was to be created is there already, and is another one."""

    code = Code.ALREADY_EXISTS
    default_reason = Reason.IDEMPOTENCY_CONFLICT


class PermissionDenied(TailraceError):
    """The request may not be made here, whoever makes it or whatever the state."""

    code = Code.PERMISSION_DENIED
    default_reason = Reason.CALLBACK_NOT_ALLOWED


class Aborted(TailraceError):
    """Something else was faster; reading anew and trying again may help."""

    code = Code.ABORTED
    default_reason = Reason.UNSPECIFIED


class QueueUnavailable(Unavailable):
    """The queue Redis cannot be reached, or refuses; whether anything was written is unknown."""

    default_reason = Reason.QUEUE_UNAVAILABLE
    retryable = False


class OutOfRange(TailraceError):
    """What was asked for lies outside of what is kept."""

    code = Code.OUT_OF_RANGE
    default_reason = Reason.POSITION_TOO_OLD


class Unimplemented(TailraceError):
    """A method that the protocol has and this server has not."""

    code = Code.UNIMPLEMENTED
    default_reason = Reason.UNSPECIFIED


class Internal(TailraceError):
    """Unexpected. The message holds an opaque id; the log has the rest."""


class Cancelled(TailraceError):
    """The caller went away."""

    code = Code.CANCELLED
    default_reason = Reason.CANCELLED


class RemoteFailure(TailraceError):
    """An error that another of our services reported, passed on as it is.

    Attributes:
        code: the status code that was received (per instance here).
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        field: str = "",
        reason: Reason = Reason.UNSPECIFIED,
        retry_after_ms: int | None = None,
    ) -> None:
        """Keeps the received code beside the usual fields."""
        super().__init__(message, field=field, reason=reason, retry_after_ms=retry_after_ms)
        self.code = code  # type: ignore[misc]  # the type's code is a default for its instances
        self.retryable = code is Code.UNAVAILABLE  # type: ignore[misc]
