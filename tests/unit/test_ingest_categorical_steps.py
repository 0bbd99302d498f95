"""vocabulary, one_hot and hash."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.ingest.offline import BadRow, ingest_columns
from tailrace.ingest.steps.categorical import Hash, OneHot, ValueIndex
from tailrace.runtime.columns import DType
from tailrace.runtime.steps.step_table import StepColumn, StepTable
from tests.support.written_pipeline import written_pipeline

TEXT = {"x": {"type": "string"}}
WHOLE = {"x": {"type": "int64"}}


def text_table(values: Any) -> Any:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return StepTable(len(values), np.arange(len(values)), {"x": StepColumn(DType.STRING, column)})


def test_vocabulary_of_text_makes_places_and_unknown(tmp_path: Path) -> None:
    step = {"step": "vocabulary", "input": "x", "values": ["b", "a"], "unknown": -1}
    pipeline = written_pipeline(tmp_path, TEXT, [step], ["x"], dtype="int64")
    columns: Any = ingest_columns(pipeline, {"x": ["a", "b", "c", None]})
    assert columns["x"].tolist() == [1, 0, -1, 0]
    assert columns.validity("x").tolist() == [True, True, True, False]


def test_vocabulary_of_whole_numbers(tmp_path: Path) -> None:
    step = {"step": "vocabulary", "input": "x", "values": [30, 10, 20], "unknown": 99}
    pipeline = written_pipeline(tmp_path, WHOLE, [step], ["x"], dtype="float32")
    columns: Any = ingest_columns(pipeline, {"x": [10, 20, 30, 31, -(2**63), None]})
    np.testing.assert_array_equal(columns["x"], np.array([1, 2, 0, 99, 99, np.nan], np.float32))


def test_vocabulary_that_must_know_fails_the_row_of_an_unknown_value(tmp_path: Path) -> None:
    step = {"step": "vocabulary", "input": "x", "values": ["a"], "unknown": "fail"}
    pipeline = written_pipeline(tmp_path, TEXT, [step], ["x"], dtype="int64")
    with pytest.raises(BadRow) as failure:
        ingest_columns(pipeline, {"x": ["a", None, "z"]})
    assert failure.value.row == 2
    assert failure.value.error.field == "fields.x"


@settings(deadline=None)
@given(
    values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8, unique=True),
    looked_up=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8),
)
def test_places_of_whole_numbers_are_those_of_the_list(values: Any, looked_up: Any) -> None:
    wanted = [*values, *looked_up]
    found = ValueIndex(values).places(np.array(wanted, dtype=np.int64), -1)
    assert found.tolist() == [values.index(n) if n in values else -1 for n in wanted]


def test_one_hot_makes_a_column_per_value(tmp_path: Path) -> None:
    step = {"step": "one_hot", "input": "x", "values": ["a", "b"]}
    pipeline = written_pipeline(tmp_path, TEXT, [step], ["x=a", "x=b"])
    columns: Any = ingest_columns(pipeline, {"x": ["a", "b", "c", None]})
    np.testing.assert_array_equal(columns["x=a"], np.array([1, 0, 0, math.nan], np.float32))
    np.testing.assert_array_equal(columns["x=b"], np.array([0, 1, 0, math.nan], np.float32))


def test_one_hot_of_whole_numbers_keeps_nulls_by_validity(tmp_path: Path) -> None:
    step = {"step": "one_hot", "input": "x", "values": [1, 2], "output": "is", "dtype": "int64"}
    pipeline = written_pipeline(tmp_path, WHOLE, [step], ["is=1", "is=2"], dtype="int64")
    columns: Any = ingest_columns(pipeline, {"x": [2, None]})
    assert columns["is=2"].tolist() == [1, 0]
    assert columns.validity("is=2").tolist() == [True, False]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "other"]), min_size=1, max_size=20))
def test_one_hot_sums_to_one_for_known_values_and_to_zero_for_others(values: Any) -> None:
    table = text_table(values)
    outputs = ("x=a", "x=b", "x=c")
    OneHot("x", outputs, DType.FLOAT32, ValueIndex(["a", "b", "c"])).run(table)
    sums = sum(table.columns[name].values for name in outputs)
    assert sums.tolist() == [float(value != "other") for value in values]


def test_hash_has_known_buckets(tmp_path: Path) -> None:
    # Reference: first 8 bytes of BLAKE2b-512 of b"abc" (RFC 7693, appendix A): ba80a53f981c4d0d.
    expected = int.from_bytes(bytes.fromhex("ba80a53f981c4d0d"), "little") % 1000
    step = {"step": "hash", "input": "x", "buckets": 1000}
    pipeline = written_pipeline(tmp_path, TEXT, [step], ["x"], dtype="int64")
    columns: Any = ingest_columns(pipeline, {"x": ["abc", None, "abc"]})
    assert columns["x"].tolist() == [expected, 0, expected]
    assert columns.validity("x").tolist() == [True, False, True]


def test_hash_of_whole_numbers_is_that_of_their_eight_bytes(tmp_path: Path) -> None:
    step = {"step": "hash", "input": "x", "buckets": 97, "seed": "s"}
    pipeline = written_pipeline(tmp_path, WHOLE, [step], ["x"], dtype="int64")
    digest = hashlib.blake2b((-5).to_bytes(8, "little", signed=True), key=b"s").digest()
    found = ingest_columns(pipeline, {"x": [-5]})["x"]
    assert found.tolist() == [int.from_bytes(digest[:8], "little") % 97]


@settings(deadline=None)
@given(
    values=st.lists(st.text(max_size=80), min_size=1, max_size=10),
    buckets=st.integers(2, 2**31),
    seed=st.text(max_size=16),
)
def test_hash_is_stable_within_its_buckets(values: Any, buckets: Any, seed: Any) -> None:
    step = Hash("x", "h", DType.INT64, buckets, seed)
    found = []
    for _ in range(2):
        table = text_table(values)
        step.run(table)
        found.append(table.columns["h"].values.tolist())
    assert found[0] == found[1]
    assert all(0 <= bucket < buckets for bucket in found[0])


def test_hash_spreads_values_over_its_buckets() -> None:
    table = text_table([f"value {n}" for n in range(4000)])
    Hash("x", "h", DType.INT64, 4, "").run(table)
    counts = np.bincount(table.columns["h"].values)
    assert counts.min() > 900


def test_hash_with_another_seed_gives_other_buckets() -> None:
    found = []
    for seed in ("a", "b"):
        table = text_table([f"value {n}" for n in range(100)])
        Hash("x", "h", DType.INT64, 1000, seed).run(table)
        found.append(table.columns["h"].values.tolist())
    assert found[0] != found[1]
