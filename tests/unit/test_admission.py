from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from tailrace.gateway.admission import admit, request_deadline_ns
from tailrace.runtime.errors import DeadlineExceeded, InvalidField, LimitExceeded
from tailrace.runtime.pipeline.spec import DeadlineSection
from tailrace.runtime.tracing.trace_context import new_trace
from tailrace.v1 import batch_pb2, prediction_service_pb2, tensor_pb2

SECTION = DeadlineSection(default_ms=500, maximum_ms=2000)
MS = 1_000_000
TRACE = new_trace()


@pytest.mark.parametrize(
    ("call_s", "timeout_ms", "granted_ms"),
    [
        (None, None, 500),  # the default
        (86_400.0, None, 2000),  # a one-day deadline is clamped
        (1.0, None, 1000),
        (1.0, 200, 200),
        (0.1, 200, 100),
        (None, 200, 200),
        (None, 10_000, 2000),
        (0.0, None, 0),
        (-1.0, None, -1000),
    ],
)
def test_the_least_of_all_bounds_is_granted(call_s: Any, timeout_ms: Any, granted_ms: Any) -> None:
    timeout_ns = None if timeout_ms is None else timeout_ms * MS
    assert request_deadline_ns(SECTION, call_s, timeout_ns) == granted_ms * MS


def _admit(call_s: Any = 1.0, **parts: Any) -> Any:
    request = prediction_service_pb2.PredictRequest(pipeline="p", **parts)
    return admit(request, SECTION, call_s, 1_000, 10, TRACE)


def test_a_row_keeps_what_the_request_says() -> None:
    row = _admit(request_id="r", tenant="t", priority=batch_pb2.PRIORITY_CRITICAL)
    assert (row.request_id, row.tenant) == ("r", "t")
    assert row.priority == batch_pb2.PRIORITY_CRITICAL
    assert row.trace is TRACE
    assert (row.granted_ns, row.deadline_ns) == (1000 * MS, 1000 * MS + 1_000)


def test_requests_without_an_id_get_distinct_ones() -> None:
    assert _admit().request_id != _admit().request_id


@pytest.mark.parametrize("call_s", [0.0, -5.0])
def test_a_deadline_spent_on_arrival_is_refused(call_s: Any) -> None:
    with pytest.raises(DeadlineExceeded, match="spent on arrival"):
        _admit(call_s=call_s)


def test_a_timeout_that_is_not_positive_is_refused() -> None:
    with pytest.raises(DeadlineExceeded):
        _admit(timeout=Duration(seconds=-1))


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"request_id": "x" * 129}, "request_id"),
        ({"request_id": "a\nb"}, "request_id"),
        ({"tenant": "x" * 65}, "tenant"),
        ({"tenant": "é"}, "tenant"),
    ],
)
def test_an_id_that_could_forge_a_log_line_is_refused(parts: Any, field: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        _admit(**parts)
    assert caught.value.field == field


def test_too_many_fields_are_refused() -> None:
    fields = {f"f{number}": tensor_pb2.Value() for number in range(11)}
    with pytest.raises(LimitExceeded, match="11 fields, at most 10"):
        _admit(fields=fields)


@pytest.mark.parametrize("number", [0, 5, 99, -1, -(2**31)])
def test_a_priority_that_does_not_exist_is_the_normal_one(number: Any) -> None:
    assert _admit(priority=number).priority == batch_pb2.PRIORITY_NORMAL
