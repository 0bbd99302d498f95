"""Records of submissions: what is pushed is the same each time, and holds no word of its push."""

from __future__ import annotations

import dataclasses

import pytest

from tailrace.submissions.message_bytes import bytes_field
from tailrace.submissions.record_message import callback_name, prediction_record, record_bytes
from tailrace.submissions.records import DeliveryState, State
from tailrace.v1.prediction_service_pb2 import (
    DELIVERY_STATE_PENDING,
    PredictionRecord,
    PredictRequest,
)
from tests.support.push_fixtures import stored_prediction
from tests.support.requests import error_info

ID = "007-01JD8Z6V3N8B4Q2W5X7Y9K1M3P"


def test_what_is_pushed_does_not_change_with_its_delivery() -> None:
    stored = stored_prediction(ID)
    later = dataclasses.replace(
        stored,
        delivery_state=DeliveryState.DEAD,
        delivery_attempts=7,
        delivery_ended_ms=1,
        next_attempt_ms=2,
        dead_reason="ATTEMPTS_EXHAUSTED",
    )
    assert record_bytes(stored) == record_bytes(later)
    record = PredictionRecord.FromString(record_bytes(stored))
    assert not record.HasField("delivery")
    assert record.response.prediction["score"].double_value == 0.25


def test_what_is_fetched_is_what_is_pushed_and_its_delivery() -> None:
    stored = stored_prediction(ID)
    record = prediction_record(stored)
    assert record.delivery.state == DELIVERY_STATE_PENDING
    assert record.delivery.callback == "hook"
    record.ClearField("delivery")
    assert record == PredictionRecord.FromString(record_bytes(stored))
    assert prediction_record(stored, outcome=False).WhichOneof("outcome") is None


@pytest.mark.parametrize(
    ("state", "code", "reason"),
    [
        (State.EXPIRED, 4, "EXPIRED"),
        (State.CANCELLED, 1, "SUBMISSION_CANCELLED"),
        (State.FAILED, 13, "POISON"),
    ],
)
def test_what_the_queue_decided_has_an_outcome_all_the_same(
    state: State, code: int, reason: str
) -> None:
    record = PredictionRecord.FromString(record_bytes(stored_prediction(ID, state=state)))
    assert record.error.code == code
    assert error_info(record.error).reason == reason


def test_what_has_no_result_has_no_outcome() -> None:
    stored = dataclasses.replace(stored_prediction(ID), state=State.RUNNING, outcome=b"")
    assert prediction_record(stored).WhichOneof("outcome") is None


@pytest.mark.parametrize(
    ("key", "name"), [("acme/hook", "hook"), ("a/b/hook", "hook"), ("/hook", "hook"), ("~ab", "")]
)
def test_a_callback_has_the_name_of_its_key(key: str, name: str) -> None:
    assert callback_name(key) == name


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 100_000])
def test_an_appended_field_is_read_as_if_it_had_been_there(length: int) -> None:
    head = PredictRequest(pipeline="p").SerializeToString()
    text = "x" * length
    data = head + bytes_field(PredictRequest.REQUEST_ID_FIELD_NUMBER, text.encode())
    assert PredictRequest.FromString(data) == PredictRequest(pipeline="p", request_id=text)
