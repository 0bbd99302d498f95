"""Request fields that are lists, from the request to the columns."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.client.tensor import Tensor
from tailrace.client.values import to_value
from tailrace.ingest.compile import CompiledIngest, compile_ingest
from tailrace.ingest.handler import IngestHandler
from tailrace.ingest.offline import BadRow, BadTable, ingest_columns
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Columns
from tailrace.runtime.config import IngestSettings
from tailrace.runtime.errors import LimitExceeded, TailraceError
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.problem import SpecError
from tailrace.v1 import tensor_pb2
from tests.support.wire_batches import done
from tests.support.written_pipeline import written_pipeline

FIELDS: dict[str, Any] = {
    "items": {"type": "string", "max_items": 3, "max_length": 4},
    "numbers": {"type": "int64", "max_items": 2, "minimum": 0, "maximum": 9},
    "x": {"type": "double"},
}
STEPS = [
    {"step": "cast", "input": "numbers", "output": "halves", "dtype": "float64"},
    {"step": "vocabulary", "input": "items", "output": "ids", "values": ["a", "b"], "unknown": 9,
     "dtype": "int64"},
    {"step": "hash", "input": "items", "output": "buckets", "buckets": 8, "dtype": "int64"},
]  # fmt: skip


def pipeline_of(folder: Path, **changes: Any) -> Pipeline:
    """A pipeline whose ingest hands on every column that is a list."""
    inputs = [
        {"name": "text", "dtype": "string", "column": "items"},
        *(
            {"name": name, "dtype": dtype, "column": name}
            for name, dtype in (("numbers", "int64"), ("halves", "float64"), ("ids", "int64"),
                                ("buckets", "int64"))
        ),
    ]  # fmt: skip
    return written_pipeline(folder, {**FIELDS, **changes}, STEPS, model_inputs=inputs)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The pipeline."""
    return pipeline_of(tmp_path_factory.mktemp("lists"))


def ingested(
    compiled: CompiledIngest, *rows: dict[str, Any]
) -> tuple[Columns, dict[int, TailraceError]]:
    """What ingest makes of requests, and the errors of the bad ones."""
    requests = [
        {
            name: value if isinstance(value, tensor_pb2.Value) else to_value(value, name)
            for name, value in row.items()
        }
        for row in rows
    ]
    ids = [f"r{place}" for place in range(len(rows))]
    batch = Batch("p", "", Rows(ids, [2**62] * len(rows)), Columns(len(rows)))
    columns = asyncio.run(done(IngestHandler(IngestSettings()).handle(batch, requests, compiled)))
    return columns, batch.rows.failures


def test_lists_are_filled_up_and_their_lengths_told(pipeline: Pipeline) -> None:
    columns, failures = ingested(
        compile_ingest(pipeline),
        {"items": ["a", "ü", "b"], "numbers": [9, 0]},
        {"items": ["b"], "numbers": [7]},
        {},
        {"items": [], "numbers": None},
    )

    assert not failures
    assert columns["items"].tolist() == [["a", "ü", "b"], ["b", "", ""], [""] * 3, [""] * 3]
    assert columns["items.length"].tolist() == [3, 1, 0, 0]
    assert columns["numbers"].tolist() == [[9, 0], [7, 0], [0, 0], [0, 0]]
    assert columns["numbers.length"].tolist() == [2, 1, 0, 0]


def test_steps_work_on_every_item(pipeline: Pipeline) -> None:
    columns, failures = ingested(
        compile_ingest(pipeline), {"items": ["b", "z", "a"], "numbers": [1, 2]}, {"items": ["z"]}
    )

    assert not failures
    assert columns["ids"][0].tolist() == [1, 9, 0]
    assert columns["ids"][1].tolist()[:1] == [9]
    assert columns["halves"].dtype == np.float64
    assert columns["halves"].tolist() == [[1.0, 2.0], [0.0, 0.0]]
    assert columns["buckets"][1, 0] == columns["buckets"][0, 1]


def test_every_list_that_is_wrong_is_told_with_its_place(pipeline: Pipeline) -> None:
    not_utf8 = tensor_pb2.Tensor(
        dtype=tensor_pb2.DATA_TYPE_STRING,
        shape=[1],
        data=b"\xff",
        offsets=np.array([0, 1], "<u4").tobytes(),
    )
    cut = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_INT64, shape=[2], data=b"12345678")
    bad: list[tuple[dict[str, Any], str, str]] = [
        ({"items": ["a"] * 4}, "fields.items", "found 4 items, expected at most 3"),
        ({"items": ["a", "b", "12345"]}, "fields.items[2]", "item 2: found too long a value"),
        ({"items": "a"}, "fields.items", "found a string, expected a list of strings"),
        ({"items": [1]}, "fields.items[0]", "item 0: found int64, expected a list of strings"),
        ({"numbers": ["1"]}, "fields.numbers[0]", "found string, expected a list of int64"),
        ({"numbers": Tensor.of([1.0], "float64")}, "fields.numbers[0]", "found float64"),
        ({"numbers": [3, -1]}, "fields.numbers[1]", "found a value too small, expected 0 to 9"),
        ({"numbers": [10, -1]}, "fields.numbers[1]", "too small"),
        ({"numbers": 1}, "fields.numbers", "found an int64, expected a list of int64"),
        ({"numbers": Tensor.of([[1]], "int64")}, "fields.numbers", "found a tensor of 2 dim"),
        ({"numbers": Tensor.of(1, "int64")}, "fields.numbers", "found a tensor of 0 dim"),
        ({"items": tensor_pb2.Value(tensor_value=not_utf8)}, "fields.items.data", "not UTF-8"),
        ({"numbers": tensor_pb2.Value(tensor_value=cut)}, "fields.numbers.data", "needs 16"),
    ]
    good = {"items": ["a"], "numbers": [1, 2]}
    requests = [part for row, _, _ in bad for part in (row, good)]

    columns, failures = ingested(compile_ingest(pipeline), *requests)

    assert sorted(failures) == list(range(0, len(requests), 2))
    for place, (_, field, said) in enumerate(bad):
        assert (failures[2 * place].field, failures[2 * place].code.name) == (
            field, "INVALID_ARGUMENT",
        )  # fmt: skip
        assert said in failures[2 * place].message
        assert columns["numbers"][2 * place + 1].tolist() == [1, 2]


def test_a_list_that_is_required_may_be_empty_and_not_missing(tmp_path: Path) -> None:
    items = {**FIELDS["items"], "required": True}
    compiled = compile_ingest(pipeline_of(tmp_path, items=items))

    _, failures = ingested(compiled, {"items": []}, {}, {"items": None})

    assert {row: error.field for row, error in failures.items()} == {
        1: "fields.items", 2: "fields.items",
    }  # fmt: skip


def test_an_unknown_field_beside_a_list_is_told(pipeline: Pipeline) -> None:
    _, failures = ingested(compile_ingest(pipeline), {"items": ["a"], "nmbers": [1]})

    assert failures[0].field == "fields.nmbers"


def test_rows_whose_lists_would_outgrow_a_message_are_refused(tmp_path: Path) -> None:
    numbers = {"type": "int64", "max_items": 10_000}
    compiled = compile_ingest(pipeline_of(tmp_path, numbers=numbers))

    with pytest.raises(LimitExceeded):
        ingested(compiled, *[{}] * 300)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "items": st.none() | st.lists(st.sampled_from(["a", "b", "é", ""]), max_size=3),
                "numbers": st.none() | st.lists(st.integers(0, 9), max_size=2),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_tables_give_the_columns_of_requests(
    pipeline: Pipeline, rows: list[dict[str, Any]]
) -> None:
    served, failures = ingested(compile_ingest(pipeline), *rows)
    table = {name: [row[name] for row in rows] for name in ("items", "numbers")}

    offline = ingest_columns(pipeline, table)

    assert not failures
    assert set(served) == set(offline)
    for name in served:
        np.testing.assert_array_equal(served[name], offline[name])


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (["a", ["b"]], "found str in row 0, not a list"),
        ([[1], ["b"]], "expected string"),
        ([np.array([["a"]]), []], "found 2 dimensions in row 0"),
    ],
)
def test_tables_with_something_else_than_lists_are_refused(
    pipeline: Pipeline, items: Any, said: str
) -> None:
    with pytest.raises(BadTable, match=said):
        ingest_columns(pipeline, {"items": items})


def test_tables_with_bad_lists_name_their_row(pipeline: Pipeline) -> None:
    for items in (["a"] * 4, ["toolong"]):
        with pytest.raises(BadRow) as refused:
            ingest_columns(pipeline, {"items": [["a"], items]})
        assert refused.value.row == 1


# --- what the file may say -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "part", "said"),
    [
        ({"step": "log", "input": "numbers"}, "input", "the list 'numbers'"),
        ({"step": "log", "input": "halves"}, "input", "the list 'halves'"),
        ({"step": "fill", "input": "items", "value": "", "dtype": "string"}, "input",
         "a list has no null items"),
        ({"step": "one_hot", "input": "items", "values": ["a"]}, "input", "vectors of shape [3]"),
        ({"step": "vocabulary", "input": "items", "values": ["a"], "unknown": "fail"},
         "unknown", "a number, as for every list"),
        ({"step": "vocabulary", "input": "numbers", "values": ["a"]}, "input",
         "'numbers', a list of int64"),
    ],
)  # fmt: skip
def test_a_step_that_cannot_work_on_lists_is_refused(
    tmp_path: Path, step: dict[str, Any], part: str, said: str
) -> None:
    steps = [*STEPS, {**step, "output": "made"}]
    pipeline = written_pipeline(tmp_path, FIELDS, steps, ["x"])

    with pytest.raises(SpecError) as refused:
        compile_ingest(pipeline)

    assert f"ingest.steps[3].{part}" in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("field", "where", "said"),
    [
        ({"max_items": 0}, ".max_items", "at least 1"),
        ({"max_items": 10_001}, ".max_items", "at most 10000"),
        ({"max_items": 2, "default": "a"}, ".default", "none: a list that is missing is empty"),
        ({"max_items": True}, ".max_items", "a number"),
    ],
)
def test_an_unfit_list_is_told(
    tmp_path: Path, field: dict[str, Any], where: str, said: str
) -> None:
    with pytest.raises(SpecError) as refused:
        written_pipeline(tmp_path, {"x": {"type": "string", **field}})

    assert f"request.fields.x{where}" in str(refused.value)
    assert said in str(refused.value)
