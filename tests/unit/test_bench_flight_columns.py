from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tailrace.loadtest.bench.bls.flight_columns import FlightColumns, FlightConstants
from tailrace.loadtest.bench.plain_chain.flight_row import (
    PIPELINE,
    FlightModel,
    encode,
    entity_keys,
    read_model,
)
from tailrace.loadtest.bench.plain_chain.hops import calibrated
from tailrace.v1 import prediction_service_pb2, tensor_pb2

PIPELINES = Path(__file__).parents[2] / "examples" / "flights" / "pipelines"
MODEL = read_model(PIPELINES)


def constants(model: FlightModel) -> FlightConstants:
    return FlightConstants(
        carriers=list(model.vocabularies["carrier"]),
        origins=list(model.vocabularies["origin"]),
        views={view: len(features) for view, features in model.views.items()},
        platt=model.platt,
        threshold=model.threshold,
        model=model.model,
        redis_url="",
    )


COLUMNS = FlightColumns(constants(MODEL))


def request(
    carrier: str, origin: str, departure: datetime, block: timedelta
) -> prediction_service_pb2.PredictRequest:
    fields = {
        name: tensor_pb2.Value(string_value=value)
        for name, value in {
            "carrier": carrier, "tailnum": "N1", "origin": origin, "dest": "IAH",
        }.items()
    }  # fmt: skip
    fields["distance"] = tensor_pb2.Value(double_value=1400.5)
    for name, instant in (
        ("scheduled_departure", departure),
        ("scheduled_arrival", departure + block),
    ):
        value = tensor_pb2.Value()
        value.timestamp_value.FromDatetime(instant)
        fields[name] = value
    return prediction_service_pb2.PredictRequest(pipeline=PIPELINE, fields=fields)


# Either side of the change to summer time in New York, and of the change back.
INSTANTS = (
    datetime(2013, 3, 10, 6, 59, tzinfo=UTC),
    datetime(2013, 3, 10, 7, 0, tzinfo=UTC),
    datetime(2013, 11, 3, 5, 59, tzinfo=UTC),
    datetime(2013, 11, 3, 6, 0, tzinfo=UTC),
    datetime(2013, 7, 1, 3, 59, tzinfo=UTC),
    datetime(2013, 12, 31, 23, 30, tzinfo=UTC),
)
REQUESTS = [
    request(carrier, origin, instant, timedelta(minutes=minutes))
    for instant in INSTANTS
    for carrier, origin, minutes in (("UA", "EWR", 194), ("??", "JFK", 0), ("YV", "LGA", -5))
]


def tensors() -> tuple[NDArray[Any], NDArray[np.float64]]:
    text = [
        [
            one.fields[name].string_value.encode()
            for name in ("carrier", "tailnum", "origin", "dest")
        ]
        for one in REQUESTS
    ]
    numbers = [
        [
            one.fields["scheduled_departure"].timestamp_value.ToMicroseconds(),
            one.fields["scheduled_arrival"].timestamp_value.ToMicroseconds(),
            one.fields["distance"].double_value,
            0,
        ]
        for one in REQUESTS
    ]
    return np.array(text, dtype=object), np.array(numbers, dtype=np.float64)


def test_the_bls_model_prepares_rows_as_the_plain_chain_does() -> None:
    expected = np.array([encode(MODEL, one) for one in REQUESTS], np.float32)
    np.testing.assert_array_equal(COLUMNS.encode(*tensors()), expected)


def test_the_bls_model_reads_the_keys_that_the_plain_chain_reads() -> None:
    expected = [key.encode() for one in REQUESTS for key in entity_keys(one).values()]
    assert COLUMNS.keys(*tensors()) == expected


def test_what_is_not_stored_becomes_nan_in_its_own_view_only() -> None:
    widths = [len(features) for features in MODEL.views.values()]
    rows = [np.arange(width, dtype="<f4") for width in widths]
    stored = [row.tobytes() for row in rows]
    features = COLUMNS.features([*stored, stored[0], None, *stored[2:]])
    np.testing.assert_array_equal(features[0], np.concatenate(rows))
    missing = features[1, widths[0] : widths[0] + widths[1]]
    assert np.isnan(missing).all()
    assert np.isnan(features[1]).sum() == widths[1]


@pytest.mark.parametrize("probability", [0.0, 1e-9, 0.2, 0.5, 0.999, 1.0])
def test_the_bls_model_calibrates_as_the_plain_chain_does(probability: float) -> None:
    found = COLUMNS.calibrated(np.array([[probability]], np.float32))
    expected = calibrated(float(np.float32(probability)), *MODEL.platt)
    assert found[0, 0] == pytest.approx(expected, rel=1e-12)
