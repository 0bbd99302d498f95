"""Batches of a load have fewer rows where rows are large, and the same ones each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from tailrace.features.load_options import BadRowLimit
from tailrace.features.load_rows import LoadRows
from tailrace.features.table_file import BATCH_ROWS, TableFile
from tailrace.runtime.pipeline.feature_view import FeatureView

MIB = 1024 * 1024


def test_rows_of_large_texts_are_read_few_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "texts.parquet"
    texts = [f"{number:04}" * (MIB // 4) for number in range(80)]
    parquet.write_table(pa.table({"id": range(80), "text": texts}), file)
    table = TableFile(file)
    sizes = [batch.num_rows for batch in table.batches(["id", "text"])]
    assert max(sizes) <= 40 and sum(sizes) == 80
    assert [batch.num_rows for batch in table.batches(["id", "text"])] == sizes


def test_rows_of_long_vectors_are_encoded_few_at_a_time(tmp_path: Path) -> None:
    rows, length = 300, 65_536
    # Takes next to nothing in the file.
    vectors = pa.ListArray.from_arrays(
        pa.array(np.arange(0, rows * length + 1, length), pa.int32()),
        pa.array(np.zeros(rows * length, np.int8)),
    )
    file = tmp_path / "vectors.parquet"
    parquet.write_table(pa.table({"id": [f"k{n}" for n in range(rows)], "v": vectors}), file)
    feature = {"name": "v", "type": "float64", "length": length}
    view = FeatureView.model_validate(
        {"view": "wide", "entity": "e", "keys": [{"name": "id"}], "features": [feature]}
    )
    load = LoadRows(view, TableFile(file), None, 0, BadRowLimit())
    sizes = [sum(map(len, encoded.rows)) for encoded in load.batches()]
    assert max(sizes) < 33 * MIB
    assert load.distinct == rows


def test_ordinary_rows_come_in_whole_batches(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"id": range(BATCH_ROWS + 1)}), file)
    assert [batch.num_rows for batch in TableFile(file).batches(["id"], 64)] == [BATCH_ROWS, 1]
