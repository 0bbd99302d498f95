"""Input tensors made of columns."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.inference.assembly import MAX_LAYOUTS, Assembled, InputAssembler
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import Block, Columns, DType, column_block
from tailrace.runtime.errors import InvalidBatch, InvalidField
from tailrace.runtime.pipeline.model_section import ModelInput

NUMERIC = [dtype for dtype in DType if not dtype.is_ragged]


def rows_of(count: int) -> Rows:
    deadlines_ns = [2**62] * count
    return Rows([f"r{row}" for row in range(count)], deadlines_ns)


def stacked(dtype: DType, names: list[str], allow_nan: bool = False) -> ModelInput:
    return ModelInput(name="features", dtype=dtype, columns=names, allow_nan=allow_nan)


def assemble(
    inputs: ModelInput | list[ModelInput], blocks: list[Block], failed: list[int] | None = None
) -> tuple[Assembled, Rows]:
    count = blocks[0].rows
    rows = rows_of(count)
    for row in failed or []:
        rows.fail(row, InvalidField("before"))
    assembler = InputAssembler(inputs if isinstance(inputs, list) else [inputs])
    return assembler.assemble(Columns(count, blocks), rows.live(), rows), rows


def float_block(names: list[str], values: Any, validity: Any = None) -> Block:
    array = np.asarray(values, dtype=np.float32)
    return Block(tuple(names), DType.FLOAT32, array, validity)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 9), width=st.integers(1, 30))
def test_any_layout_gives_the_same_tensor(seed: int, count: int, width: int) -> None:
    rng = random.Random(seed)
    names = [f"c{place}" for place in range(width)]
    values = {name: np.array([rng.randrange(-99, 99) for _ in range(count)]) for name in names}
    order = [*names, *(f"unused{place}" for place in range(3))]
    if rng.random() < 0.7:
        rng.shuffle(order)
    blocks = []
    while order:
        taken = [order.pop(0) for _ in range(min(len(order), rng.randrange(1, 12)))]
        dtype = rng.choice([DType.FLOAT32, DType.FLOAT64, DType.INT64, DType.INT8])
        data = np.stack([values.get(name, np.full(count, 7)) for name in taken])
        blocks.append(Block(tuple(taken), dtype, data.astype(dtype.numpy)))
    rng.shuffle(blocks)
    failed = [row for row in range(count) if rng.random() < 0.3]
    wanted = rng.choices(names, k=width)
    assembled, rows = assemble(stacked(DType.FLOAT32, wanted), blocks, failed)
    live = [row for row in range(count) if row not in failed]
    expected = np.stack([values[name] for name in wanted], axis=1)[live]
    assert assembled.rows.tolist() == live == rows.live().tolist()
    assert assembled.tensors["features"].dtype == np.float32
    assert assembled.tensors["features"].flags.c_contiguous
    np.testing.assert_array_equal(assembled.tensors["features"], expected)


@pytest.mark.parametrize("dtype", NUMERIC)
def test_every_type_passes_as_it_is(dtype: DType) -> None:
    data = np.array([[0, 1], [1, 0]]).astype(dtype.numpy)
    assembled, _ = assemble(stacked(dtype, ["a", "b"]), [Block(("a", "b"), dtype, data)])
    assert assembled.tensors["features"].dtype == dtype.numpy
    assert assembled.tensors["features"].tolist() == data.T.tolist()


def test_a_nan_fails_its_row_and_names_its_column() -> None:
    block = float_block(["a", "b"], [[1, 2, np.nan, 4], [5, np.inf, 7, 8]])
    assembled, rows = assemble(stacked(DType.FLOAT32, ["b", "a"]), [block])
    assert assembled.rows.tolist() == [0, 3]
    assert assembled.tensors["features"].tolist() == [[5, 1], [8, 4]]
    assert {row: error.field for row, error in rows.failures.items()} == {1: "b", 2: "a"}
    assert "'a' holds NaN" in rows.failures[2].message
    assert "'b' holds an infinity" in rows.failures[1].message
    assert isinstance(rows.failures[1], InvalidField)


def test_a_bad_value_of_a_feature_is_told_as_one() -> None:
    block = float_block(["a", "item.price"], [[np.nan, 1], [2, np.nan]])
    rows = rows_of(2)
    assembler = InputAssembler(
        [stacked(DType.FLOAT32, ["a", "item.price"])], features=["item.price"]
    )
    assembler.assemble(Columns(2, [block]), rows.live(), rows)
    assert rows.failures[0].message == (
        "the column 'a' holds NaN, which the model input 'features' does not take"
    )
    assert rows.failures[1].message == (
        "the column 'item.price' is a feature and holds NaN, as its stored value or as its "
        "default, which the model input 'features' does not take"
    )


def test_allow_nan_lets_nan_pass_and_turns_null_into_it() -> None:
    validity = np.array([[True, False, True], [True, True, True]])
    block = float_block(["a", "b"], [[1, 2, 3], [np.nan, 5, 6]], validity)
    assembled, rows = assemble(stacked(DType.FLOAT32, ["a", "b"], allow_nan=True), [block])
    np.testing.assert_array_equal(
        assembled.tensors["features"], np.array([[1, np.nan], [np.nan, 5], [3, 6]], np.float32)
    )
    assert not rows.failures


def test_allow_nan_does_not_let_infinity_pass() -> None:
    _, rows = assemble(
        stacked(DType.FLOAT32, ["a"], allow_nan=True), [float_block(["a"], [[np.inf, 1]])]
    )
    assert list(rows.failures) == [0]


def test_a_null_fails_its_row_where_nan_is_not_allowed() -> None:
    validity = np.array([[True, False]])
    for dtype in (DType.FLOAT32, DType.INT64):
        block = Block(("a",), dtype, np.zeros((1, 2), dtype.numpy), validity)
        assembled, rows = assemble(stacked(dtype, ["a"]), [block])
        assert (assembled.rows.tolist(), list(rows.failures)) == ([0], [1])
        assert "null" in rows.failures[1].message


def test_a_null_in_a_row_that_has_failed_already_is_no_matter() -> None:
    block = float_block(["a"], [[np.nan, 1]], np.array([[False, True]]))
    assembled, rows = assemble(stacked(DType.FLOAT32, ["a"]), [block], failed=[0])
    assert assembled.tensors["features"].tolist() == [[1]]
    assert rows.failures[0].message == "before"


def test_integers_out_of_range_fail_their_rows() -> None:
    block = Block(("a", "b"), DType.INT64, np.array([[1, 2**40, 3], [4, 5, -(2**31) - 1]]))
    assembled, rows = assemble(stacked(DType.INT32, ["a", "b"]), [block])
    assert assembled.tensors["features"].tolist() == [[1, 4]]
    assert {row: error.field for row, error in rows.failures.items()} == {1: "a", 2: "b"}


def test_a_float_beyond_the_narrower_type_fails_its_row() -> None:
    block = Block(("a",), DType.FLOAT64, np.array([[1.0, 1e300]]))
    assembled, rows = assemble(stacked(DType.FLOAT32, ["a"]), [block])
    assert (assembled.rows.tolist(), list(rows.failures)) == ([0], [1])


def test_a_vector_column_passes_whole() -> None:
    values = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    values[1, 1, 2] = np.nan
    vector = ModelInput(name="image", dtype=DType.FLOAT32, column="pixels")
    assembled, rows = assemble(vector, [column_block("pixels", DType.FLOAT32, values)])
    np.testing.assert_array_equal(assembled.tensors["image"], values[[0, 2]])
    assert rows.failures[1].field == "pixels"


def test_a_single_column_of_a_block_has_one_dimension() -> None:
    single = ModelInput(name="x", dtype=DType.INT64, column="b")
    block = Block(("a", "b"), DType.INT32, np.array([[1, 2, 3], [4, 5, 6]], dtype="<i4"))
    assembled, _ = assemble(single, [block], failed=[1])
    assert assembled.tensors["x"].tolist() == [4, 6]
    assert assembled.tensors["x"].dtype == np.int64


def test_a_null_in_a_single_column_becomes_nan_without_touching_the_batch() -> None:
    single = ModelInput(name="x", dtype=DType.FLOAT32, column="a", allow_nan=True)
    block = float_block(["a"], [[1, 2]], np.array([[True, False]]))
    assembled, _ = assemble(single, [block])
    np.testing.assert_array_equal(assembled.tensors["x"], np.array([1, np.nan], np.float32))
    assert block.values.tolist() == [[1, 2]]


def test_strings_stay_objects() -> None:
    names = Block(("a", "b"), DType.STRING, np.array([["x", "y"], ["ä", ""]], dtype=object))
    assembled, _ = assemble(stacked(DType.STRING, ["b", "a"]), [names])
    assert assembled.tensors["features"].tolist() == [["ä", "x"], ["", "y"]]


def test_a_row_bad_for_one_input_is_in_none() -> None:
    inputs = [
        stacked(DType.FLOAT32, ["a"]),
        ModelInput(name="x", dtype=DType.INT8, column="n"),
    ]
    blocks = [
        float_block(["a"], [[np.nan, 1, 2]]),
        Block(("n",), DType.INT64, np.array([[0, 500, 5]])),
    ]
    assembled, rows = assemble(inputs, blocks)
    assert sorted(rows.failures) == [0, 1]
    assert {name: tensor.tolist() for name, tensor in assembled.tensors.items()} == {
        "features": [[2]],
        "x": [5],
    }


@pytest.mark.parametrize(
    "block, words",
    [
        (float_block(["b"], [[1]]), "'a' is missing"),
        (column_block("a", DType.FLOAT32, np.zeros((1, 3))), "holds vectors"),
        (column_block("a", DType.STRING, np.array(["x"], object)), "string cannot feed"),
    ],
)
def test_a_batch_without_the_columns_is_refused_whole(block: Block, words: str) -> None:
    with pytest.raises(InvalidBatch, match=words):
        assemble(stacked(DType.FLOAT32, ["a"]), [block])


@pytest.mark.parametrize("dtype", [DType.INT32, DType.BOOL])
def test_floats_never_feed_integers_or_bools(dtype: DType) -> None:
    with pytest.raises(InvalidBatch, match="float32 cannot feed"):
        assemble(stacked(dtype, ["a"]), [float_block(["a"], [[1]])])


def test_plans_are_kept_for_few_layouts_only() -> None:
    assembler = InputAssembler([stacked(DType.FLOAT32, ["a"])])
    for place in range(3 * MAX_LAYOUTS):
        blocks = [float_block(["a"], [[1]]), float_block([f"b{place}"], [[1]])]
        assembler.assemble(Columns(1, blocks), np.array([0]), rows_of(1))
    assert len(assembler._makers) <= MAX_LAYOUTS
