"""A prediction holds all that its message held."""

from __future__ import annotations

import dataclasses
import pickle

import grpc
import pytest

from tailrace.client import Prediction, Quality, QualityReason, ServerFault, Tensor
from tailrace.client.ledger import Ledger
from tailrace.client.values import to_value
from tailrace.v1 import ledger_pb2, prediction_service_pb2

LEDGER = ledger_pb2.Ledger(
    entries=[
        ledger_pb2.LedgerEntry(
            hop=ledger_pb2.HOP_INGEST,
            start_ns=100_001,
            duration_ns=2_345_678,
            queue_ns=345_678,
            network_ns=1_000_000,
            work_ns=1_000_000,
            attempts=2,
            budget_ns=150_000_000,
            placement=ledger_pb2.PLACEMENT_REMOTE,
            critical=True,
            code=14,
        ),
        ledger_pb2.LedgerEntry(hop=ledger_pb2.HOP_FEATURES, placement=ledger_pb2.PLACEMENT_LOCAL),
    ],
    total_ns=4_250_001,
    unattributed_ns=654_323,
    deadline_ns=500_000_000,
    convoy_wait_ns=1_250_000,
    convoy_rows=32,
)


def response() -> prediction_service_pb2.PredictResponse:
    """An answer with something in every field."""
    return prediction_service_pb2.PredictResponse(
        request_id="request-1",
        prediction={"probability": to_value(0.25, "probability"), "late": to_value("no", "late")},
        pipeline="flight-delay",
        pipeline_version="1-abc",
        model=prediction_service_pb2.ModelVersion(name="flight_delay", version="7"),
        quality=prediction_service_pb2.QUALITY_DEFAULT_FEATURES,
        quality_reasons=[
            prediction_service_pb2.QualityReason(
                quality=prediction_service_pb2.QUALITY_DEFAULT_FEATURES,
                hop=ledger_pb2.HOP_FEATURES,
                detail="plane: missing",
            )
        ],
        ledger=LEDGER,
    )


def test_prediction_holds_the_whole_answer() -> None:
    prediction = Prediction.of_message(response())

    assert prediction == Prediction(
        values={"probability": 0.25, "late": "no"},
        quality=Quality.DEFAULT_FEATURES,
        quality_reasons=(QualityReason(Quality.DEFAULT_FEATURES, "features", "plane: missing"),),
        pipeline="flight-delay",
        pipeline_version="1-abc",
        model_name="flight_delay",
        model_version="7",
        request_id="request-1",
        ledger=Ledger.of_message(LEDGER),
    )


def test_prediction_is_the_same_whether_its_ledger_was_looked_at_or_not() -> None:
    looked_at, untouched = Prediction.of_message(response()), Prediction.of_message(response())
    assert looked_at.ledger is looked_at.ledger

    assert looked_at == untouched
    assert repr(looked_at) == repr(Prediction.of_message(response()))
    assert pickle.loads(pickle.dumps(Prediction.of_message(response()))) == looked_at
    changed = dataclasses.replace(Prediction.of_message(response()), pipeline="other")
    assert changed.ledger == looked_at.ledger
    assert not hasattr(looked_at, "ledgers")


def test_ledger_is_told_in_milliseconds() -> None:
    ledger = Ledger.of_message(LEDGER)

    entry = ledger.entry("ingest")
    assert (entry.start_ms, entry.duration_ms, entry.budget_ms) == (0.100001, 2.345678, 150.0)
    assert (entry.queue_ms, entry.network_ms, entry.work_ms) == (0.345678, 1.0, 1.0)
    assert (entry.attempts, entry.placement, entry.critical) == (2, "remote", True)
    assert entry.code is grpc.StatusCode.UNAVAILABLE
    assert (ledger.total_ms, ledger.unattributed_ms) == (4.250001, 0.654323)
    assert ledger.deadline_ms == 500.0
    assert (ledger.convoy_wait_ms, ledger.convoy_rows) == (1.25, 32)
    assert [entry.hop for entry in ledger.entries] == ["ingest", "features"]


def test_hop_that_was_not_asked_has_no_entry() -> None:
    with pytest.raises(KeyError):
        Ledger.of_message(LEDGER).entry("postprocess")


def test_numbers_of_a_later_version_do_no_harm() -> None:
    message = response()
    message.quality = 77  # type: ignore[assignment]
    message.ledger.entries[0].hop = 77  # type: ignore[assignment]
    message.ledger.entries[0].placement = 77  # type: ignore[assignment]
    message.ledger.entries[0].code = 77

    prediction = Prediction.of_message(message)

    assert prediction.quality is Quality.UNSPECIFIED
    assert prediction.ledger.entries[0].hop == "hop_77"
    assert prediction.ledger.entries[0].placement == "placement_77"
    assert prediction.ledger.entries[0].code is grpc.StatusCode.UNKNOWN


def test_tensor_of_a_later_version_is_a_fault_of_the_server() -> None:
    message = response()
    message.prediction["scores"].CopyFrom(to_value(Tensor.of([1.0], "float32"), "scores"))
    message.prediction["scores"].tensor_value.dtype = 77  # type: ignore[assignment]

    with pytest.raises(ServerFault, match="unknown dtype number 77") as caught:
        Prediction.of_message(message)
    assert caught.value.request_id == "request-1"


def test_qualities_are_those_of_the_protocol() -> None:
    numbers = {
        name.removeprefix("QUALITY_"): number
        for name, number in prediction_service_pb2.Quality.items()
    }

    assert {quality.name: quality.value for quality in Quality} == numbers
