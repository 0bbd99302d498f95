from typing import Any

import numpy as np

from tailrace.gateway.passing import HopColumns, join_columns
from tailrace.runtime.columns import DType, column_block
from tailrace.runtime.wire import block_to_proto


def _hop_columns(rows: Any, **columns: Any) -> Any:
    blocks = [
        block_to_proto(column_block(name, DType.INT64, np.array(values)))
        for name, values in columns.items()
    ]
    return HopColumns(rows, blocks)


def test_blocks_pass_unopened_while_no_row_has_left() -> None:
    columns = _hop_columns([0, 2, 5], a=[10, 12, 15])
    assert columns.take([0, 2, 5]) is columns.blocks


def test_rows_that_left_are_cut_out() -> None:
    columns = _hop_columns([0, 2, 5], a=[10, 12, 15], b=[20, 22, 25])
    kept = HopColumns([2, 5], columns.take([2, 5])).decode([2, 5])
    assert kept["a"].tolist() == [12, 15]
    assert kept["b"].tolist() == [22, 25]


def test_hops_that_lost_different_rows_are_joined_by_row() -> None:
    ingested = _hop_columns([0, 1, 2, 3], a=[0, 1, 2, 3])
    features = _hop_columns([0, 2, 3], b=[100, 102, 103])
    joined = join_columns([0, 3], ingested, features).decode([0, 3])
    assert joined["a"].tolist() == [0, 3]
    assert joined["b"].tolist() == [100, 103]


def test_only_the_columns_named_are_selected() -> None:
    columns = _hop_columns([0, 1], a=[1, 2], b=[3, 4]).select(["b"])
    assert list(columns.decode([0, 1])) == ["b"]


def test_blocks_of_which_nothing_is_read_are_left_out_unopened() -> None:
    columns = _hop_columns([0, 1], a=[1, 2], b=[3, 4])
    assert columns.read_by({"b", "c"}).blocks == [columns.blocks[1]]


def test_columns_of_a_hop_in_this_process_are_passed_as_they_are() -> None:
    block = column_block("a", DType.INT64, np.array([10, 11]))
    message = block_to_proto(column_block("b", DType.INT64, np.array([20, 21])))
    joined = join_columns([3, 7], HopColumns([3, 7], [block]), HopColumns([3, 7], [message]))
    assert joined.take([3, 7])[0] is block
    assert joined.decode([7])["a"].tolist() == [11]
    assert joined.decode([7])["b"].tolist() == [21]
    assert joined.read_by({"a"}).blocks == [block]
