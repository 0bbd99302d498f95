"""Requests as they arrive: types, ranges, missing values, unknown fields, row by row."""

import asyncio
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.client.values import to_value
from tailrace.ingest.compile import compile_ingest
from tailrace.ingest.handler import IngestHandler
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Columns
from tailrace.runtime.config import IngestSettings
from tailrace.runtime.errors import (
    InvalidBatch,
    InvalidField,
    InvalidTensor,
    LimitExceeded,
    Reason,
)
from tailrace.runtime.timestamps import timestamp_us
from tailrace.v1 import ingest_service_pb2, tensor_pb2
from tests.support.wire_batches import done
from tests.support.written_pipeline import written_pipeline

FIELDS = {
    "text": {"type": "string", "required": True, "max_length": 4, "allowed": ["a", "b", "hello"]},
    "whole": {"type": "int64", "minimum": -5, "maximum": 5},
    "kind": {"type": "int64", "allowed": [1, 3]},
    "number": {"type": "double", "minimum": 0, "maximum": 10, "unit": "mi", "default": 1.5},
    "flag": {"type": "bool"},
    "at": {"type": "timestamp", "minimum": "2013-01-01T00:00:00Z"},
    "raw": {"type": "bytes", "max_length": 3},
    "vector": {"type": "tensor", "dtype": "float32", "shape": [2]},
}
VECTOR = tensor_pb2.Tensor(
    dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[2], data=np.array([1, 2], np.float32).tobytes()
)
GOOD: dict[str, Any] = {
    "text": "a",
    "whole": 5,
    "kind": 3,
    "number": 2.5,
    "flag": True,
    "at": datetime(2013, 5, 1, 12, 30, 0, 1, tzinfo=UTC),
    "raw": b"\x00\xff",
    "vector": VECTOR,
}


def request(fields: Any) -> Any:
    message = ingest_service_pb2.RequestFields()
    for name, value in fields.items():
        if isinstance(value, tensor_pb2.Value):
            message.fields[name].CopyFrom(value)
        elif isinstance(value, tensor_pb2.Tensor):
            message.fields[name].tensor_value.CopyFrom(value)
        else:
            message.fields[name].CopyFrom(to_value(value, name))
    return message.fields


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("schema")
    # Every field leaves ingest as it is, as postprocess carries it.
    outputs = [{"name": "score"}, *({"name": name} for name in FIELDS if name != "text")]
    outputs.append({"name": "text"})
    pipeline = written_pipeline(folder, FIELDS, [], ["number"], postprocess={"outputs": outputs})
    return compile_ingest(pipeline)


async def ingest(compiled: Any, requests: Any, **settings: Any) -> Any:
    count = len(requests)
    rows = Rows([str(row) for row in range(count)], [2**62] * count)
    batch = Batch("under-test", "1", rows, Columns(count))
    handler = IngestHandler(IngestSettings(**settings))
    columns = await done(handler.handle(batch, [request(fields) for fields in requests], compiled))
    return columns, rows


async def only_error(compiled: Any, **changes: Any) -> Any:
    """The error of a bad row between two good ones, which must be none the worse for it."""
    bad = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    columns, rows = await ingest(compiled, [GOOD, bad, GOOD])
    assert list(rows.failures) == [1]
    assert columns["text"].tolist() == ["a", "", "a"]
    assert columns["number"].tolist() == [2.5, 0, 2.5]
    return rows.failures[1]


async def test_a_good_request_arrives_without_loss(compiled: Any) -> None:
    columns, rows = await ingest(compiled, [GOOD])
    assert not rows.failures
    assert columns["text"].tolist() == ["a"]
    assert columns["whole"].tolist() == [5]
    assert columns["kind"].tolist() == [3]
    assert columns["number"].tolist() == [2.5]
    assert columns["flag"].tolist() == [True]
    assert columns["at"].tolist() == [timestamp_us(GOOD["at"])]
    assert columns["raw"].tolist() == [b"\x00\xff"]
    assert columns["vector"].tolist() == [[1, 2]]
    assert all(columns.validity(name) is None for name in columns)


@pytest.mark.parametrize("absent", [..., tensor_pb2.Value()], ids=["absent", "null"])
async def test_missing_values_are_defaults_or_nulls(compiled: Any, absent: Any) -> None:
    fields = dict.fromkeys(GOOD, absent) | {"text": "b"}
    given_fields = {name: value for name, value in fields.items() if value is not ...}
    columns, rows = await ingest(compiled, [given_fields, GOOD])
    assert not rows.failures
    assert columns["number"].tolist() == [1.5, 2.5]
    assert columns.validity("number") is None
    for name in ("whole", "kind", "flag", "at", "raw", "vector"):
        assert columns.validity(name).tolist() == [False, True], name
    assert columns["raw"].tolist()[0] == b""
    assert np.isnan(columns["vector"][0]).all()


async def test_values_that_are_their_types_default_are_not_missing(compiled: Any) -> None:
    fields = {**GOOD, "whole": 0, "number": 0.0, "flag": False, "raw": b""}
    columns, _ = await ingest(compiled, [fields])
    assert columns["whole"].tolist() == [0]
    assert columns["number"].tolist() == [0.0]
    assert columns["flag"].tolist() == [False]
    assert all(columns.validity(name) is None for name in columns)


@pytest.mark.parametrize("absent", [..., tensor_pb2.Value()], ids=["absent", "null"])
async def test_a_missing_required_field_is_refused(compiled: Any, absent: Any) -> None:
    error = await only_error(compiled, text=absent)
    assert (error.reason, error.field) == (Reason.INVALID_FIELD, "fields.text")
    assert error.message == "field 'text': found nothing, but it is required"


@pytest.mark.parametrize(
    ("name", "value", "found", "expected"),
    [
        ("text", 5, "an int64", "a string"),
        ("whole", 1.0, "a double", "an int64"),
        ("whole", True, "a bool", "an int64"),
        ("number", "1", "a string", "a double"),
        ("number", False, "a bool", "a double"),
        ("flag", 1, "an int64", "a bool"),
        ("at", "2013-05-01", "a string", "a timestamp"),
        ("raw", "a", "a string", "bytes"),
        ("vector", 1.0, "a double", "a tensor"),
        ("text", VECTOR, "a tensor", "a string"),
    ],
)
async def test_a_value_of_the_wrong_type_is_refused(
    compiled: Any, name: Any, value: Any, found: Any, expected: Any
) -> None:
    error = await only_error(compiled, **{name: value})
    assert isinstance(error, InvalidField)
    assert error.field == f"fields.{name}"
    assert error.message == f"field {name!r}: found {found}, expected {expected}"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("text", "hello", "at most 4 characters"),
        ("text", "c", "one of: a, b, hello"),
        ("whole", 6, "-5 to 5"),
        ("whole", -6, "-5 to 5"),
        ("kind", 2, "one of: 1, 3"),
        ("number", 10.1, "0 to 10 mi"),
        ("number", -0.1, "0 to 10 mi"),
        ("number", math.nan, "a finite number"),
        ("number", math.inf, "a finite number"),
        ("number", -math.inf, "a finite number"),
        ("at", datetime(2012, 12, 31, tzinfo=UTC), "at least 2013-01-01T00:00:00+00:00"),
        ("raw", b"1234", "at most 3 bytes"),
    ],
)
async def test_a_value_that_the_schema_excludes_is_refused(
    compiled: Any, name: Any, value: Any, expected: Any
) -> None:
    error = await only_error(compiled, **{name: value})
    assert isinstance(error, InvalidField)
    assert error.field == f"fields.{name}"
    assert f"expected {expected}" in error.message


async def test_messages_hold_no_values(compiled: Any) -> None:
    error = await only_error(compiled, text="secret-value")
    assert "secret" not in error.message


async def test_a_whole_number_may_stand_for_a_double_if_nothing_is_lost(compiled: Any) -> None:
    columns, rows = await ingest(compiled, [{**GOOD, "number": 7}])
    assert not rows.failures
    assert columns["number"].tolist() == [7.0]


async def test_a_whole_number_that_no_double_equals_is_refused(tmp_path: Path) -> None:
    fields = {"x": {"type": "double"}, "y": {"type": "int64"}}
    compiled = compile_ingest(written_pipeline(tmp_path, fields, [], ["x"], dtype="float64"))
    columns, rows = await ingest(compiled, [{"x": 2**53 + 1}, {"x": 2**53 + 2}, {"x": 2**63 - 1}])
    assert sorted(rows.failures) == [0, 2]
    assert rows.failures[0].field == "fields.x"
    assert columns["x"].tolist() == [0, 2.0**53 + 2, 0]


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(253_402_300_800, 0), (-62_135_596_801, 0), (0, 1_000_000_000), (0, -1), (2**62, 0)],
)
async def test_a_timestamp_out_of_range_is_refused(compiled: Any, seconds: Any, nanos: Any) -> None:
    value = tensor_pb2.Value()
    value.timestamp_value.seconds, value.timestamp_value.nanos = seconds, nanos
    error = await only_error(compiled, at=value)
    assert error.field == "fields.at"
    assert "years 1 to 9999" in error.message


async def test_timestamps_are_kept_to_the_microsecond(tmp_path: Path) -> None:
    pipeline = written_pipeline(
        tmp_path, {"x": {"type": "double"}, "at": {"type": "timestamp"}}, [], ["x"],
        postprocess={"outputs": [{"name": "at"}]},
    )  # fmt: skip
    requests = []
    for seconds, nanos in ((1, 1_999), (-1, 999_999_999), (0, 0)):
        value = tensor_pb2.Value()
        value.timestamp_value.seconds, value.timestamp_value.nanos = seconds, nanos
        requests.append({"at": value})
    columns, _ = await ingest(compile_ingest(pipeline), requests)
    assert columns["at"].tolist() == [1_000_001, -1, 0]


async def test_an_unknown_field_is_refused_with_the_nearest_name(compiled: Any) -> None:
    error = await only_error(compiled, numbr=1.0)
    assert (error.reason, error.field) == (Reason.INVALID_FIELD, "fields.numbr")
    assert error.message == "unknown field 'numbr', did you mean 'number'?"


async def test_an_unknown_field_is_told_before_what_it_was_meant_to_be(compiled: Any) -> None:
    error = await only_error(compiled, text=..., txet="a")
    assert error.field == "fields.txet"
    assert "'text'" in error.message


async def test_an_unknown_field_unlike_any_is_refused_with_the_names_there_are(
    compiled: Any,
) -> None:
    error = await only_error(compiled, zzzzzzzz=1.0)
    assert "one of: text, whole" in error.message


async def test_only_so_many_rows_of_a_batch_get_a_suggestion(compiled: Any) -> None:
    requests = [{**GOOD, f"numbr{n}": 1.0} for n in range(300)]
    _, rows = await ingest(compiled, requests)
    suggested = ["did you mean" in rows.failures[row].message for row in range(300)]
    assert suggested == [True] * 125 + [False] * 175


async def test_every_row_has_its_own_error(compiled: Any) -> None:
    requests = [
        {**GOOD, "whole": 100},
        GOOD,
        {**GOOD, "text": ""},
        {**GOOD, "number": math.nan},
        {**GOOD, "number": 11.0},
        {"text": "a"},
        {**GOOD, "more": 1},
    ]
    columns, rows = await ingest(compiled, requests)
    assert {row: error.field for row, error in rows.failures.items()} == {
        0: "fields.whole",
        2: "fields.text",
        3: "fields.number",
        4: "fields.number",
        6: "fields.more",
    }
    assert columns["number"].tolist() == [0, 2.5, 0, 0, 0, 1.5, 0]


async def test_rows_that_failed_before_are_left_alone(compiled: Any) -> None:
    rows = Rows(["a", "b"], [2**62] * 2)
    rows.fail(0, InvalidField("earlier"))
    batch = Batch("under-test", "1", rows, Columns(2))
    requests = [request({"nonsense": 1}), request(GOOD)]
    columns = await done(IngestHandler(IngestSettings()).handle(batch, requests, compiled))
    assert rows.failures[0].message == "earlier"
    assert columns["number"].tolist() == [0, 2.5]


async def test_a_batch_of_bad_rows_only_has_no_columns(compiled: Any) -> None:
    columns, rows = await ingest(compiled, [{"text": 1}, {}])
    assert sorted(rows.failures) == [0, 1]
    assert columns.rows == 2
    assert not columns.blocks


async def test_another_number_of_requests_than_rows_is_refused(compiled: Any) -> None:
    batch = Batch("under-test", "1", Rows(["a"], [2**62] * 1), Columns(1))
    with pytest.raises(InvalidBatch) as failure:
        await done(IngestHandler(IngestSettings()).handle(batch, [], compiled))
    assert failure.value.field == "requests"


async def test_large_batches_give_what_small_ones_give(compiled: Any) -> None:
    requests = [{**GOOD, "number": float(n % 12)} for n in range(50)]
    inline, rows_inline = await ingest(compiled, requests)
    threaded, rows_threaded = await ingest(compiled, requests, offload_cells=1)
    assert inline["number"].tolist() == threaded["number"].tolist()
    assert sorted(rows_inline.failures) == sorted(rows_threaded.failures) == [11, 23, 35, 47]


async def test_missing_tensors_cannot_make_a_batch_grow_beyond_a_message(tmp_path: Path) -> None:
    fields = {"v": {"type": "tensor", "dtype": "float64", "shape": [1_000_000]}}
    compiled = compile_ingest(written_pipeline(tmp_path, fields, [], ["v"], dtype="float64"))
    with pytest.raises(LimitExceeded):
        await ingest(compiled, [{}] * 1000)


# -- FAULTS 18 -----------------------------------------------------------------------------------


def tensor(
    dtype: Any = "FLOAT32", shape: Any = (2,), data: Any = b"\0" * 8, offsets: Any = b""
) -> Any:
    number: Any = (
        dtype if isinstance(dtype, int) else tensor_pb2.DataType.Value(f"DATA_TYPE_{dtype}")
    )
    return tensor_pb2.Tensor(dtype=number, shape=shape, data=data, offsets=offsets)


@pytest.mark.parametrize(
    ("bad", "field", "text"),
    [
        (tensor(shape=[3], data=b"\0" * 12), "shape", "found shape [3], expected [2]"),
        (tensor(shape=[2, 1]), "shape", "found shape [2, 1], expected [2]"),
        (tensor(shape=[], data=b"\0" * 4), "shape", "found shape [], expected [2]"),
        (tensor(shape=[-2]), "shape", "negative dimension"),
        (tensor(shape=[-1, -2]), "shape", "negative dimension"),
        (tensor(shape=[2**62, 4]), "shape", "elements"),
        (tensor(shape=[0, 2**62]), "shape", "elements"),
        (tensor(shape=[2**40] * 16), "shape", "elements"),
        (tensor(shape=[2**62] * 100_000), "shape", "100000 dimensions"),
        (tensor(shape=[1] * 40), "shape", "40 dimensions"),
        (tensor(data=b"\0" * 7), "data", "7 bytes"),
        (tensor(data=b"\0" * 9), "data", "9 bytes"),
        (tensor(data=b""), "data", "0 bytes"),
        (tensor(dtype=99), "dtype", "unknown dtype number 99"),
        (tensor(dtype="UNSPECIFIED"), "dtype", "found dtype unspecified, expected float32"),
        (tensor(dtype="FLOAT64", data=b"\0" * 16), "dtype", "found dtype float64"),
        (tensor(dtype="STRING", data=b"", offsets=b"\0" * 12), "dtype", "found dtype string"),
    ],
)
async def test_a_bad_tensor_is_refused_naming_its_part(
    compiled: Any, bad: Any, field: Any, text: Any
) -> None:
    error = await only_error(compiled, vector=bad)
    assert isinstance(error, InvalidTensor)
    assert error.field == f"fields.vector.{field}"
    assert text in error.message
    assert len(error.message) < 1000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_a_tensor_that_is_not_finite_is_refused(compiled: Any, value: Any) -> None:
    bad = tensor(data=np.array([0, value], np.float32).tobytes())
    error = await only_error(compiled, vector=bad)
    assert error.field == "fields.vector"
    assert "finite" in error.message


async def test_ten_thousand_unknown_fields_are_refused_at_once(compiled: Any) -> None:
    many = {f"field_{n}": 1.0 for n in range(10_000)}
    error = await only_error(compiled, **many)
    assert error.reason is Reason.INVALID_FIELD
    assert error.field.startswith("fields.field_")
    assert len(error.message) < 1000


async def test_an_endless_field_name_is_cut_off(compiled: Any) -> None:
    error = await only_error(compiled, **{"n" * 1_000_000: 1.0})
    assert len(error.message) < 1000
    assert len(error.field) < 200


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "other", ""]),
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats()
        | st.text(max_size=6)
        | st.binary(max_size=6)
        | st.datetimes(timezones=st.just(UTC)),
        max_size=8,
    )
)
def test_any_request_gives_columns_or_an_error_that_names_a_field(
    compiled: Any, fields: Any
) -> None:
    columns, rows = asyncio.run(ingest(compiled, [fields, GOOD]))
    assert columns["number"].tolist()[1] == 2.5
    assert set(rows.failures) <= {0}
    for error in rows.failures.values():
        assert error.field.startswith("fields.")
        assert isinstance(error, InvalidField)
