"""What a server says of a failure is what the caller's exception holds."""

from __future__ import annotations

import pickle
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import status_pb2

from tailrace.client import (
    AccessDenied,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    Overloaded,
    PredictionError,
    ServerFault,
    Unavailable,
)
from tailrace.client.errors import error_of_call, error_of_status
from tailrace.runtime.error_mapping import status_of
from tailrace.runtime.errors import InvalidField
from tailrace.runtime.errors import Overloaded as RuntimeOverloaded

CODES = list(grpc.StatusCode)


class FailedCall:
    """Stands for a `grpc.RpcError`, whose concrete types cannot be made by hand."""

    def __init__(self, code: grpc.StatusCode, details: str, *metadata: tuple[str, Any]) -> None:
        self._parts = code, details, metadata

    def code(self) -> grpc.StatusCode:
        return self._parts[0]

    def details(self) -> str:
        return self._parts[1]

    def trailing_metadata(self) -> tuple[tuple[str, Any], ...] | None:
        return self._parts[2] or None


def test_status_of_a_service_is_read_in_full() -> None:
    status = status_of(InvalidField("found 5, expected text", field="fields.origin"))

    error = error_of_status(status, "request-1")

    assert type(error) is InvalidRequest
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_FIELD"
    assert error.field == "fields.origin"
    assert error.message == "found 5, expected text"
    assert error.request_id == "request-1"
    assert error.retry_after_s is None
    assert str(error) == (
        "INVALID_ARGUMENT (INVALID_FIELD) at fields.origin: found 5, expected text "
        "[request request-1]"
    )


def test_pushback_is_read_in_seconds() -> None:
    error = error_of_status(status_of(RuntimeOverloaded("full", retry_after_ms=1500)))

    assert type(error) is Overloaded
    assert error.retry_after_s == 1.5


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequest),
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.FAILED_PRECONDITION, FailedPrecondition),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.UNAUTHENTICATED, AccessDenied),
        (grpc.StatusCode.PERMISSION_DENIED, AccessDenied),
        (grpc.StatusCode.INTERNAL, ServerFault),
        (grpc.StatusCode.DATA_LOSS, ServerFault),
        (grpc.StatusCode.ABORTED, PredictionError),
    ],
)
def test_failure_without_details_keeps_its_code(
    code: grpc.StatusCode, kind: type[PredictionError]
) -> None:
    error = error_of_call(FailedCall(code, "from elsewhere"), "request-1")

    assert type(error) is kind
    assert error.code is code
    assert (error.reason, error.field, error.message) == ("", "", "from elsewhere")
    assert error.request_id == "request-1"


@pytest.mark.parametrize("code", CODES, ids=str)
def test_every_code_has_its_error(code: grpc.StatusCode) -> None:
    assert error_of_status(status_pb2.Status(code=code.value[0])).code is code


def test_unknown_code_number_is_unknown() -> None:
    assert error_of_status(status_pb2.Status(code=99)).code is grpc.StatusCode.UNKNOWN


def test_details_that_cannot_be_read_are_passed_over() -> None:
    status = status_of(InvalidField("bad", field="fields.x"))
    broken = AnyMessage(type_url=status.details[0].type_url, value=b"\xff\xff\xff")
    status.details.insert(0, broken)

    error = error_of_status(status)

    assert error.reason == "INVALID_FIELD"


@pytest.mark.parametrize("value", [b"\xff\xff\xff", "text where bytes belong"])
def test_status_that_cannot_be_read_leaves_the_code(value: Any) -> None:
    failure = FailedCall(grpc.StatusCode.INTERNAL, "broken", ("grpc-status-details-bin", value))

    error = error_of_call(failure)

    assert (error.code, error.message) == (grpc.StatusCode.INTERNAL, "broken")


def test_call_comes_before_its_details() -> None:
    details = status_of(InvalidField("bad", field="fields.x")).SerializeToString()
    failure = FailedCall(grpc.StatusCode.UNAVAILABLE, "gone", ("grpc-status-details-bin", details))

    error = error_of_call(failure)

    assert type(error) is Unavailable
    assert error.message == "gone"
    assert error.reason == "INVALID_FIELD"


@pytest.mark.parametrize(("value", "seconds"), [("250", 0.25), ("-1", None), ("soon", None)])
def test_pushback_without_details_is_read(value: str, seconds: float | None) -> None:
    metadata = ("grpc-retry-pushback-ms", value)

    error = error_of_call(FailedCall(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", metadata))

    assert error.retry_after_s == seconds


def test_error_crosses_processes_with_all_its_fields() -> None:
    error = NotFound("no such pipeline", reason="PIPELINE_NOT_FOUND", request_id="request-1")

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is NotFound
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)
