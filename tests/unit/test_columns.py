from typing import Any

import numpy as np
import pytest

from tailrace.runtime.columns import Block, Columns, DType, column_block


def _block(*names: Any, rows: Any = 3) -> Any:
    values = np.arange(len(names) * rows, dtype=np.float32).reshape(len(names), rows)
    return Block(names, DType.FLOAT32, values)


def test_columns_are_found_by_name_as_views() -> None:
    block = _block("a", "b")
    columns = Columns(3, [block])
    assert columns["b"].tolist() == [3, 4, 5]
    assert np.shares_memory(columns["b"], block.values)
    assert "c" not in columns
    assert list(columns) == ["a", "b"]
    assert columns.dtype("a") is DType.FLOAT32


def test_a_block_added_later_is_found() -> None:
    columns = Columns(3, [_block("a")])
    assert "b" not in columns
    columns.extend([_block("b")])
    assert columns["b"].tolist() == [0, 1, 2]


def test_a_name_that_is_there_already_is_refused() -> None:
    columns = Columns(3, [_block("a")])
    with pytest.raises(ValueError, match="column a occurs twice"):
        columns.extend([_block("b", "a")])
    with pytest.raises(ValueError, match="occurs twice"):
        Columns(3).extend([_block("b", "b")])


def test_a_block_with_another_row_count_is_refused() -> None:
    with pytest.raises(ValueError, match="has 2 rows, not 3"):
        Columns(3).extend([_block("a", rows=2)])


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 3)])
def test_a_block_whose_values_do_not_fit_its_names_is_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match="2 names"):
        Block(("a", "b"), DType.FLOAT32, np.zeros(shape, np.float32))


def test_a_block_whose_validity_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="validity"):
        Block(("a",), DType.FLOAT32, np.zeros((1, 3), np.float32), np.ones((1, 2), np.bool_))


def test_take_keeps_order_vectors_and_validity() -> None:
    vectors = column_block(
        "v",
        DType.INT64,
        np.arange(6).reshape(3, 2),
        np.array([True, False, True]),
    )
    taken = Columns(3, [vectors, _block("a")]).take(np.array([2, 0]))
    assert taken.rows == 2
    assert taken["v"].tolist() == [[4, 5], [0, 1]]
    validity = taken.validity("v")
    assert validity is not None
    assert validity.tolist() == [True, True]
    assert taken.validity("a") is None
    assert taken["a"].tolist() == [2, 0]


def test_select_keeps_whole_blocks_and_cuts_others() -> None:
    whole, cut = _block("a", "b"), _block("c", "d")
    selected = Columns(3, [whole, cut]).select(["a", "b", "d"])
    assert selected.blocks[0] is whole
    assert selected.blocks[1].names == ("d",)
    assert selected["d"].tolist() == [3, 4, 5]
    with pytest.raises(KeyError, match="e"):
        Columns(3, [whole]).select(["e"])


@pytest.mark.parametrize("dtype", list(DType))
def test_every_type_has_a_little_endian_numpy_type(dtype: Any) -> None:
    assert dtype.numpy.byteorder in "<|="
    assert dtype.is_ragged == (dtype.numpy.kind == "O")
