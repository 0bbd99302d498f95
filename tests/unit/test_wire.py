import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Block, Columns, DType, column_block
from tailrace.runtime.errors import (
    Code,
    InvalidBatch,
    InvalidField,
    InvalidTensor,
    Reason,
    TailraceError,
)
from tailrace.runtime.wire import (
    array_to_tensor,
    batch_from_proto,
    block_from_proto,
    block_to_proto,
    rows_from_proto,
    tensor_to_array,
    write_answer,
)
from tailrace.v1 import batch_pb2, error_pb2, tensor_pb2
from tests.support.wire_batches import answer_from_proto, batch_to_proto

NUMERIC = [dtype for dtype in DType if not dtype.is_ragged]


@pytest.mark.parametrize("dtype", NUMERIC)
@given(data=st.data())
def test_numeric_arrays_survive_the_wire_bit_for_bit(dtype: Any, data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    array = data.draw(hnp.arrays(dtype.numpy, shape))
    found_dtype, found = tensor_to_array(array_to_tensor(array, dtype), "t")
    assert found_dtype is dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


@given(st.lists(st.text(), max_size=6))
def test_texts_survive_the_wire(texts: Any) -> None:
    array = np.empty(len(texts), object)
    array[:] = texts
    assert tensor_to_array(array_to_tensor(array, DType.STRING), "t")[1].tolist() == texts


@given(st.lists(st.binary(), max_size=6))
def test_bytes_survive_the_wire(pieces: Any) -> None:
    array = np.empty(len(pieces), object)
    array[:] = pieces
    assert tensor_to_array(array_to_tensor(array, DType.BYTES), "t")[1].tolist() == pieces


FLOAT32 = tensor_pb2.DATA_TYPE_FLOAT32
UNKNOWN: Any = 99
STRING = tensor_pb2.DATA_TYPE_STRING


@pytest.mark.parametrize(
    ("tensor", "field", "message"),
    [
        (tensor_pb2.Tensor(shape=[1]), "t.dtype", "unknown dtype number 0"),
        (tensor_pb2.Tensor(dtype=UNKNOWN, shape=[1]), "t.dtype", "unknown dtype number 99"),
        (tensor_pb2.Tensor(dtype=FLOAT32, shape=[-1, 4]), "t.shape", "negative dimension"),
        (tensor_pb2.Tensor(dtype=FLOAT32, shape=[2**62, 2**62]), "t.shape", "more than"),
        (tensor_pb2.Tensor(dtype=FLOAT32, shape=[2**31 - 1]), "t.data", "needs 8589934588"),
        (tensor_pb2.Tensor(dtype=FLOAT32, shape=[2], data=b"1234"), "t.data", "4 bytes"),
        (tensor_pb2.Tensor(dtype=FLOAT32, shape=[1], data=b"12345678"), "t.data", "8 bytes"),
        (tensor_pb2.Tensor(dtype=STRING, shape=[2**31 - 1]), "t.offsets", "0 bytes of offsets"),
        (
            tensor_pb2.Tensor(
                dtype=STRING, shape=[1], data=b"ab", offsets=np.array([0, 9], "<u4").tobytes()
            ),
            "t.offsets",
            "do not span",
        ),
        (
            tensor_pb2.Tensor(
                dtype=STRING, shape=[2], data=b"ab", offsets=np.array([0, 5, 2], "<u4").tobytes()
            ),
            "t.offsets",
            "decrease",
        ),
        (
            tensor_pb2.Tensor(
                dtype=STRING, shape=[1], data=b"\xff", offsets=np.array([0, 1], "<u4").tobytes()
            ),
            "t.data",
            "not UTF-8",
        ),
    ],
)
def test_a_tensor_that_contradicts_itself_is_refused_with_its_field(
    tensor: Any, field: Any, message: Any
) -> None:
    with pytest.raises(InvalidTensor, match=message) as caught:
        tensor_to_array(tensor, "t")
    assert caught.value.field == field


@given(st.binary(max_size=200))
def test_any_bytes_make_a_batch_or_a_clean_refusal(data: Any) -> None:
    message = batch_pb2.Batch()
    try:
        message.ParseFromString(data)
    except Exception:  # noqa: BLE001  # not a message at all: nothing to refuse
        return
    try:
        batch_from_proto(message, max_rows=10)
    except TailraceError as error:
        assert error.code is Code.INVALID_ARGUMENT


def test_blocks_keep_names_validity_and_shape() -> None:
    block = Block(
        ("a", "b"),
        DType.INT64,
        np.arange(6).reshape(2, 3),
        np.array([[True, False, True], [True, True, True]]),
    )
    found = block_from_proto(block_to_proto(block), 3, "b")
    assert found.names == block.names
    assert found.values.tolist() == block.values.tolist()
    assert found.validity is not None
    assert block.validity is not None
    assert found.validity.tolist() == block.validity.tolist()


def test_a_block_for_another_number_of_rows_is_refused() -> None:
    message = block_to_proto(column_block("a", DType.INT64, np.arange(3)))
    with pytest.raises(InvalidBatch, match="1 names and 4 rows"):
        block_from_proto(message, 4, "b")


def test_validity_of_the_wrong_length_is_refused() -> None:
    message = block_to_proto(column_block("a", DType.INT64, np.arange(3)))
    message.validity = b"\1\1"
    with pytest.raises(InvalidBatch, match="2 bytes of validity"):
        block_from_proto(message, 3, "b")


def test_a_batch_survives_the_wire_with_contexts_and_failures() -> None:
    rows = Rows(
        request_ids=["r0", "r1"],
        deadlines_ns=[time.monotonic_ns() + seconds * 10**9 for seconds in (1, 2)],
        traceparents=["t0", "t1"],
        priorities=[1, 2],
        tenants=["x", "y"],
    )
    rows.fail(1, InvalidField("too small", field="fields.x", retry_after_ms=250))
    batch = Batch(
        "p", "1-a", rows, Columns(2, [column_block("c", DType.BOOL, np.array([True, False]))])
    )
    found = batch_from_proto(batch_to_proto(batch), max_rows=2)
    assert (found.pipeline, found.version) == ("p", "1-a")
    assert found.rows.request_ids == ["r0", "r1"]
    for one, other in zip(found.rows.deadlines_ns, rows.deadlines_ns, strict=True):
        assert abs(one - other) < 10**8
    assert (found.rows.traceparents, found.rows.tenants) == (["t0", "t1"], ["x", "y"])
    assert found.columns["c"].tolist() == [True, False]
    error = found.rows.failures[1]
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, Reason.INVALID_FIELD)
    assert (error.message, error.field) == ("too small", "fields.x")
    assert error.retry_after_ms == 250
    assert found.rows.live().tolist() == [0]


def test_an_answer_tells_of_its_rows_how_many_there_are_and_who_failed() -> None:
    rows = Rows(["r0", "r1"], [2**62] * 2, tenants=["x", "y"])
    rows.fail(1, InvalidField("too small", field="fields.x"))
    message = batch_pb2.Batch()
    write_answer(message, rows, Columns(2, [column_block("c", DType.INT8, np.array([1, 2]))]))
    assert not message.rows.request_ids
    assert not message.rows.remaining_us
    assert not message.rows.tenants
    answer = answer_from_proto(message)
    assert answer.columns["c"].tolist() == [1, 2]
    assert [(row, error.field) for row, error in answer.rows.failures.items()] == [(1, "fields.x")]


@pytest.mark.parametrize(
    ("contexts", "field"),
    [
        (batch_pb2.RowContexts(), "batch.rows.count"),
        (batch_pb2.RowContexts(count=11), "batch.rows.count"),
        (batch_pb2.RowContexts(count=1, remaining_us=[1]), "batch.rows.request_ids"),
        (batch_pb2.RowContexts(count=1, request_ids=["a"]), "batch.rows.remaining_us"),
        (
            batch_pb2.RowContexts(count=1, request_ids=["a"], remaining_us=[1], tenants=["x", "y"]),
            "batch.rows.tenants",
        ),
        (
            batch_pb2.RowContexts(
                count=1,
                request_ids=["a"],
                remaining_us=[1],
                errors=[batch_pb2.RowError(row=1, code=3)],
            ),
            "batch.rows.errors",
        ),
        (
            batch_pb2.RowContexts(
                count=1,
                request_ids=["a"],
                remaining_us=[1],
                errors=[batch_pb2.RowError(row=0, code=0)],
            ),
            "batch.rows.errors",
        ),
    ],
)
def test_contexts_that_contradict_themselves_are_refused_with_their_field(
    contexts: Any, field: Any
) -> None:
    with pytest.raises(InvalidBatch) as caught:
        rows_from_proto(contexts, max_rows=10)
    assert caught.value.field == field


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_time_remaining_makes_a_deadline_in_the_right_direction(remaining_us: Any) -> None:
    contexts = batch_pb2.RowContexts(count=1, request_ids=["a"], remaining_us=[remaining_us])
    before_ns = time.monotonic_ns()
    deadline_ns = rows_from_proto(contexts, max_rows=1).deadlines_ns[0]
    assert (deadline_ns >= before_ns) == (remaining_us >= 0) or abs(remaining_us) < 10**6


def test_reasons_have_the_numbers_of_the_protocol() -> None:
    ours = {f"ERROR_REASON_{reason.name}": reason.value for reason in Reason}
    assert ours == dict(error_pb2.ErrorReason.items())
