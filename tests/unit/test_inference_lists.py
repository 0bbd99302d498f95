"""Input tensors made of lists, and of single values beside them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.inference.assembly import Assembled, InputAssembler
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import Block, Columns, DType, column_block
from tailrace.runtime.errors import InvalidBatch, InvalidField
from tailrace.runtime.pipeline.column_kind import ColumnKind
from tailrace.runtime.pipeline.model_section import ModelInput

ITEMS = 4
KINDS = {
    "a": ColumnKind(DType.FLOAT32, (ITEMS,), "ids.length"),
    "b": ColumnKind(DType.INT64, (ITEMS,), "ids.length"),
    "other": ColumnKind(DType.FLOAT32, (ITEMS,), "other.length"),
    "vectors": ColumnKind(DType.FLOAT32, (ITEMS, 2), "ids.length"),
    "text": ColumnKind(DType.STRING, (ITEMS,), "ids.length"),
    "user": ColumnKind(DType.FLOAT64),
}
LENGTHS = column_block("ids.length", DType.INT64, np.array([2, 0, 4]))
USER = column_block("user", DType.FLOAT64, np.array([10.0, 20.0, 30.0]))


def grid(*extra: int) -> Any:
    """Values [3 rows, items, ...], each different, none of them zero."""
    shape = (3, ITEMS, *extra)
    return np.arange(1, 1 + np.prod(shape)).reshape(shape)


def item(dtype: str = "float32", **parts: Any) -> ModelInput:
    return ModelInput(name="features", dtype=DType(dtype), **parts)


def assemble(
    model_input: ModelInput, *blocks: Block, failed: list[int] | None = None
) -> tuple[Assembled, Rows]:
    count = blocks[0].rows
    rows = Rows([f"r{row}" for row in range(count)], [2**62] * count)
    for row in failed or []:
        rows.fail(row, InvalidField("before"))
    assembler = InputAssembler([model_input], KINDS)
    return assembler.assemble(Columns(count, list(blocks)), rows.live(), rows), rows


def test_single_values_are_repeated_beside_lists_and_what_is_beyond_is_zero() -> None:
    a = column_block("a", DType.FLOAT32, grid())

    made, rows = assemble(item(columns=["user", "a"]), a, USER, LENGTHS)

    tensor = made.tensors["features"]
    assert (tensor.shape, str(tensor.dtype)) == ((3, ITEMS, 2), "float32")
    assert not rows.failures
    assert tensor.tolist() == [
        [[10, 1], [10, 2], [0, 0], [0, 0]],
        [[0, 0]] * 4,
        [[30, 9], [30, 10], [30, 11], [30, 12]],
    ]


def test_single_values_stand_beside_the_longest_of_several_lists() -> None:
    a = column_block("a", DType.FLOAT32, grid())
    other = column_block("other", DType.FLOAT32, grid() * 100)
    lengths = column_block("other.length", DType.INT64, np.array([1, 3, 0]))

    made, _ = assemble(item(columns=["a", "other", "user"]), a, other, USER, LENGTHS, lengths)

    assert made.tensors["features"].tolist() == [
        [[1, 100, 10], [2, 0, 10], [0, 0, 0], [0, 0, 0]],
        [[0, 500, 20], [0, 600, 20], [0, 700, 20], [0, 0, 0]],
        [[9, 0, 30], [10, 0, 30], [11, 0, 30], [12, 0, 30]],
    ]


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 6), width=st.integers(1, 12))
def test_any_layout_gives_the_same_tensor(seed: int, rows: int, width: int) -> None:
    rng = random.Random(seed)
    numbers = np.random.default_rng(seed)
    names = [f"c{place}" for place in range(width)]
    lists = {name for name in names if rng.random() < 0.6} | {"c0"}
    values = {
        name: numbers.integers(-99, 99, (rows, ITEMS) if name in lists else rows) for name in names
    }
    lengths = numbers.integers(0, ITEMS + 1, rows)
    kinds = {
        name: ColumnKind(DType.INT64, (ITEMS,), "n") if name in lists else ColumnKind(DType.INT64)
        for name in names
    }
    blocks = [column_block("n", DType.INT64, lengths)]
    order = names if rng.random() < 0.5 else rng.sample(names, width)
    for is_list in (True, False):
        taken = [name for name in order if (name in lists) is is_list]
        while taken:
            part = [taken.pop(0) for _ in range(min(len(taken), rng.randrange(1, 5)))]
            dtype = rng.choice([DType.FLOAT32, DType.INT64, DType.INT8])
            data = np.stack([values[name] for name in part]).astype(dtype.numpy)
            blocks.append(Block(tuple(part), dtype, data))
    rng.shuffle(blocks)
    context = Rows([f"r{row}" for row in range(rows)], [2**62] * rows)
    failed = [row for row in range(rows) if rng.random() < 0.2 and rows > 1][: rows - 1]
    for row in failed:
        context.fail(row, InvalidField("before"))
    live = context.live()

    made = InputAssembler([item(columns=names)], kinds).assemble(
        Columns(rows, blocks), live, context
    )

    expected = np.zeros((rows, ITEMS, width), np.float32)
    for row in range(rows):
        for place in range(int(lengths[row])):
            for column, name in enumerate(names):
                cell = values[name][row]
                expected[row, place, column] = cell[place] if name in lists else cell
    np.testing.assert_array_equal(made.tensors["features"], expected[live])


def test_one_list_is_passed_as_it_is() -> None:
    a = column_block("a", DType.FLOAT32, grid())

    made, _ = assemble(item(column="a"), a, LENGTHS)

    assert made.tensors["features"].tolist() == [[1, 2, 0, 0], [0] * 4, [9, 10, 11, 12]]


def test_lists_of_vectors_are_passed_as_they_are() -> None:
    vectors = column_block("vectors", DType.FLOAT32, grid(2))

    made, _ = assemble(item(column="vectors"), vectors, LENGTHS)

    tensor = made.tensors["features"]
    assert tensor.shape == (3, ITEMS, 2)
    assert tensor[0].tolist() == [[1, 2], [3, 4], [0, 0], [0, 0]]


def test_lists_of_text_are_filled_up_with_none() -> None:
    text = column_block("text", DType.STRING, grid().astype(str).astype(object))

    made, _ = assemble(item("string", column="text"), text, LENGTHS)

    assert made.tensors["features"].tolist() == [
        ["1", "2", "", ""], [""] * 4, ["9", "10", "11", "12"],
    ]  # fmt: skip


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_element_fails_its_row_and_one_beyond_the_end_does_not(bad: float) -> None:
    values = grid().astype(np.float32)
    values[0, 1] = values[1, 0] = values[0, 3] = bad
    a = column_block("a", DType.FLOAT32, values)

    made, rows = assemble(item(columns=["user", "a"]), a, USER, LENGTHS)

    assert list(rows.failures) == [0]
    assert rows.failures[0].field == "a"
    assert ("NaN" if np.isnan(bad) else "an infinity") in rows.failures[0].message
    assert made.rows.tolist() == [1, 2]
    assert made.tensors["features"].shape == (2, ITEMS, 2)


def test_nan_is_passed_where_the_model_takes_it() -> None:
    values = grid().astype(np.float32)
    values[2, 0] = values[0, 3] = np.nan
    a = column_block("a", DType.FLOAT32, values)

    made, rows = assemble(item(column="a", allow_nan=True), a, LENGTHS)

    assert not rows.failures
    assert np.argwhere(np.isnan(made.tensors["features"])).tolist() == [[2, 0]]


def test_a_null_beside_a_list_fails_its_row_only_where_the_list_has_elements() -> None:
    a = column_block("a", DType.FLOAT32, grid())
    user = column_block("user", DType.FLOAT64, np.zeros(3), np.array([False, False, True]))

    made, rows = assemble(item(columns=["user", "a"]), a, user, LENGTHS)

    assert list(rows.failures) == [0]
    assert rows.failures[0].field == "user"
    assert made.rows.tolist() == [1, 2]


def test_integers_out_of_range_fail_their_rows() -> None:
    values = grid()
    values[0, 3] = values[2, 3] = 2**40
    b = column_block("b", DType.INT64, values)

    made, rows = assemble(item("int32", columns=["b"]), b, LENGTHS)

    assert list(rows.failures) == [2]
    assert made.rows.tolist() == [0, 1]


def test_rows_that_failed_before_are_left_out() -> None:
    a = column_block("a", DType.FLOAT32, grid())

    made, _ = assemble(item(columns=["a", "user"]), a, USER, LENGTHS, failed=[1])

    assert made.tensors["features"].shape == (2, ITEMS, 2)
    assert made.tensors["features"][1, 3].tolist() == [12, 30]


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([USER, LENGTHS], "the column 'a' is missing"),
        ([column_block("a", DType.FLOAT32, grid()), USER], "the column 'ids.length' is missing"),
        (
            [column_block("a", DType.FLOAT32, grid()[:, :3]), USER, LENGTHS],
            "rows of shape \\[3\\], not of 4 elements",
        ),
        (
            [column_block("a", DType.FLOAT32, grid()),
             column_block("user", DType.FLOAT64, grid()), LENGTHS],
            "'user' holds vectors",
        ),
    ],
)  # fmt: skip
def test_blocks_that_are_not_as_the_file_says_are_refused(blocks: list[Block], said: str) -> None:
    with pytest.raises(InvalidBatch, match=said):
        assemble(item(columns=["user", "a"]), *blocks)
