"""JSON becomes fields by the pipeline's schema, and predictions become JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tailrace.client import InvalidRequest, NotFound, Prediction, Tensor
from tailrace.client.json_values import (
    error_to_json,
    fields_from_json,
    prediction_to_json,
    to_json,
)
from tailrace.v1 import tensor_pb2
from tailrace.v1.pipeline_pb2 import RequestField
from tests.unit.test_client_prediction import response

SCHEMA = [
    RequestField(name="text", type="string"),
    RequestField(name="count", type="int64"),
    RequestField(name="ratio", type="double"),
    RequestField(name="flag", type="bool"),
    RequestField(name="when", type="timestamp"),
    RequestField(name="blob", type="bytes"),
    RequestField(name="grid", type="tensor", dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[-1, 2]),
    RequestField(name="names", type="string", max_items=3),
    RequestField(name="counts", type="int64", max_items=3),
    RequestField(name="times", type="tensor", dtype=tensor_pb2.DATA_TYPE_TIMESTAMP, shape=[1]),
]


def parsed(text: str) -> dict[str, Any]:
    return dict(fields_from_json(json.loads(text), SCHEMA))


def test_every_type_has_its_json() -> None:
    fields = parsed(
        """{"text": "ü", "count": 9007199254740993, "ratio": 3, "flag": true,
            "when": "2013-09-01T05:15:00.000001-04:00", "blob": "AP8=",
            "grid": [[1, 2.5], [3, 4]], "names": ["a", "ü"], "counts": [1, "9007199254740993"],
            "times": ["2013-01-01T00:00:00Z"]}"""
    )

    assert fields == {
        "text": "ü",
        "count": 2**53 + 1,
        "ratio": 3.0,
        "flag": True,
        "when": datetime(2013, 9, 1, 9, 15, 0, 1, UTC),
        "blob": b"\0\xff",
        "grid": Tensor.of([[1.0, 2.5], [3.0, 4.0]], "float32"),
        "names": Tensor.of(["a", "ü"], "string"),
        "counts": Tensor.of([1, 2**53 + 1], "int64"),
        "times": Tensor.of([datetime(2013, 1, 1, tzinfo=UTC)], "timestamp"),
    }
    assert type(fields["ratio"]) is float


def test_an_empty_list_is_one_of_its_type() -> None:
    assert parsed('{"names": []}') == {"names": Tensor.of([], "string")}


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ('{"names": "a"}', "fields.names", "found 'a', expected a list of string"),
        ('{"names": {"a": 1}}', "fields.names", "expected a list of string"),
        ('{"names": ["a", 1]}', "fields.names[1]", "found 1, expected text"),
        ('{"names": ["a", null]}', "fields.names[1]", "found None, expected text"),
        ('{"counts": [1, 2.5]}', "fields.counts[1]", "found 2.5, expected an integer"),
        ('{"counts": [[1]]}', "fields.counts[0]", "found [1], expected an integer"),
        ('{"counts": [99999999999999999999]}', "fields.counts", "does not fit int64"),
    ],
)
def test_what_is_no_list_of_its_type_is_told_with_its_place(
    text: str, field: str, said: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed(text)

    assert caught.value.field == field
    assert said in caught.value.message


def test_null_is_null_for_every_type() -> None:
    document = {field.name: None for field in SCHEMA}

    assert fields_from_json(document, SCHEMA) == document


def test_integer_may_be_decimal_text() -> None:
    assert parsed('{"count": "-9223372036854775808"}') == {"count": -(2**63)}


@pytest.mark.parametrize(
    "text", ["2013-09-01t05:15:00z", "2013-09-01 05:15:00+00:00", "2013-09-01T05:15:00.100000000Z"]
)
def test_rfc_3339_in_all_its_forms_is_read(text: str) -> None:
    when = fields_from_json({"when": text}, SCHEMA)["when"]

    assert isinstance(when, datetime)
    assert when.replace(microsecond=0) == datetime(2013, 9, 1, 5, 15, tzinfo=UTC)


def test_unknown_field_is_left_for_the_server_to_refuse() -> None:
    assert parsed('{"txt": "a", "n": 1}') == {"txt": "a", "n": 1}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("text", 5, "found 5, expected text"),
        ("count", 3.0, "found 3.0, expected an integer"),
        ("count", True, "found True, expected an integer"),
        ("count", "12a", "found '12a', expected an integer"),
        ("ratio", "3", "found '3', expected a number"),
        ("ratio", False, "expected a number"),
        ("ratio", 2**53 + 1, "without loss"),
        ("ratio", 10**400, "that a double can hold"),
        ("flag", 1, "found 1, expected true or false"),
        ("when", "2013-09-01T05:15:00", "with its offset"),
        ("when", "2013-13-01T05:15:00Z", "RFC 3339"),
        ("when", "2013-09-01", "RFC 3339"),
        ("when", 1378012500, "RFC 3339"),
        ("when", "2013-09-01T05:15:00.0000001Z", "whole microseconds"),
        ("blob", "AP8", "base64"),
        ("blob", "ü", "base64"),
        ("blob", [1], "base64"),
        ("grid", [[1, 2, 3]], "expected shape [-1, 2], not [1, 3]"),
        ("grid", [1, 2], "expected shape [-1, 2], not [2]"),
        ("grid", [[1, 2], [3]], "nested lists of float32"),
        ("grid", [["a", "b"]], "nested lists of float32"),
        ("times", ["yesterday"], "RFC 3339"),
        ("other", [1], "knows no such field"),
        ("other", {"a": 1}, "knows no such field"),
    ],
)
def test_wrong_json_is_refused_with_the_name_of_its_field(name: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        fields_from_json({name: value}, SCHEMA)

    assert caught.value.field == f"fields.{name}"
    assert said in caught.value.message


@pytest.mark.parametrize("document", [[], "text", 5, None])
def test_document_has_to_be_an_object(document: Any) -> None:
    with pytest.raises(InvalidRequest, match="expected a JSON object"):
        fields_from_json(document, SCHEMA)


def test_long_values_are_shortened_in_the_error() -> None:
    with pytest.raises(InvalidRequest) as caught:
        fields_from_json({"count": "x" * 1_000}, SCHEMA)

    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        (2**60, 2**60),
        (0.5, 0.5),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (True, True),
        (None, None),
        (b"\0\xff", "AP8="),
        (datetime(2013, 9, 1, 5, 15, 0, 1, UTC), "2013-09-01T05:15:00.000001Z"),
        (Tensor.of([["a"], ["b"]], "string"), [["a"], ["b"]]),
        (Tensor.of([b"\0"], "bytes"), ["AA=="]),
        (Tensor.of([float("nan")], "float32"), ["NaN"]),
    ],
)
def test_values_become_json(value: Any, expected: Any) -> None:
    assert to_json(value) == expected
    json.dumps(to_json(value), allow_nan=False)


def test_prediction_becomes_one_json_document() -> None:
    document = json.loads(json.dumps(prediction_to_json(Prediction.of_message(response()))))

    assert document["values"] == {"probability": 0.25, "late": "no"}
    assert document["quality"] == "DEFAULT_FEATURES"
    assert document["quality_reasons"] == [
        {"quality": "DEFAULT_FEATURES", "hop": "features", "detail": "plane: missing"}
    ]
    assert document["model"] == {"name": "flight_delay", "version": "7"}
    assert document["ledger"]["entries"][0]["hop"] == "ingest"
    assert document["ledger"]["entries"][0]["code"] == "UNAVAILABLE"
    assert document["ledger"]["total_ms"] == 4.250001
    assert (document["ledger"]["convoy_wait_ms"], document["ledger"]["convoy_rows"]) == (1.25, 32)


def test_error_becomes_one_json_document() -> None:
    error = NotFound("no such pipeline", reason="PIPELINE_NOT_FOUND", request_id="request-1")

    assert error_to_json(error) == {
        "code": "NOT_FOUND",
        "reason": "PIPELINE_NOT_FOUND",
        "field": "",
        "message": "no such pipeline",
        "request_id": "request-1",
        "trace_id": "",
        "retry_after_s": None,
    }
