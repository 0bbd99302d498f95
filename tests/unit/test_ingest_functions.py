"""User functions: what they are given, what they may return, and what they cannot break."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from tailrace.ingest.compile import compile_ingest
from tailrace.ingest.handler import IngestHandler
from tailrace.ingest.offline import BadRow, ingest_columns
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Columns
from tailrace.runtime.config import IngestSettings
from tailrace.runtime.errors import Reason
from tailrace.runtime.pipeline.problem import SpecError
from tailrace.runtime.steps.function_call import MAX_ISOLATING_CALLS
from tailrace.runtime.steps.offload import SLOW_IN_A_ROW
from tailrace.v1 import tensor_pb2
from tests.support.waiting import wait_for
from tests.support.wire_batches import done
from tests.support.written_pipeline import written_pipeline

FIELDS = {
    "x": {"type": "double"},
    "n": {"type": "int64"},
    "s": {"type": "string"},
}
HEAD = "import numpy as np\nimport threading\nimport time\ncalls = []\n"


def pipeline_of(
    tmp_path: Path, body: Any, inputs: Any = ("x",), outputs: Any = None, dtype: Any = "float32"
) -> Any:
    outputs = outputs or [{"name": "y", "dtype": dtype}]
    step = {
        "step": "function",
        "function": "functions:f",
        "inputs": list(inputs),
        "outputs": outputs,
    }
    columns = [output["name"] for output in outputs]
    return written_pipeline(
        tmp_path, FIELDS, [step], columns, dtype=outputs[0].get("dtype", "float32"),
        functions=HEAD + body,
    )  # fmt: skip


async def served(pipeline: Any, values: Any, handler: Any = None) -> Any:
    compiled = compile_ingest(pipeline)
    rows = Rows([str(row) for row in range(len(values))], [2**62] * len(values))
    batch = Batch(pipeline.name, pipeline.version, rows, Columns(len(values)))
    requests = [{"x": tensor_pb2.Value(double_value=value)} for value in values]
    handler = handler or IngestHandler(IngestSettings())
    columns = await done(handler.handle(batch, requests, compiled))
    return columns, rows.failures


def test_a_function_makes_a_column_from_columns(tmp_path: Path) -> None:
    pipeline = pipeline_of(
        tmp_path, "def f(x, n):\n    return x * 2 + n\n", ["x", "n"], dtype="float32"
    )
    columns: Any = ingest_columns(pipeline, {"x": [1.0, 2.5], "n": [10, 20]})
    assert columns["y"].tolist() == [12.0, 25.0]
    assert columns["y"].dtype == np.float32


def test_a_function_makes_several_columns_by_name(tmp_path: Path) -> None:
    outputs = [
        {"name": "a", "dtype": "float32"},
        {"name": "b", "dtype": "float32"},
    ]
    pipeline = pipeline_of(tmp_path, "def f(x):\n    return {'b': x, 'a': -x}\n", outputs=outputs)
    columns: Any = ingest_columns(pipeline, {"x": [1.0]})
    assert (columns["a"].tolist(), columns["b"].tolist()) == ([-1.0], [1.0])


def test_a_function_makes_vectors(tmp_path: Path) -> None:
    outputs = [{"name": "y", "dtype": "float32", "shape": [2]}]
    pipeline = pipeline_of(
        tmp_path, "def f(x):\n    return np.stack([x, x + 1], axis=1)\n", outputs=outputs
    )
    assert ingest_columns(pipeline, {"x": [1.0, 5.0]})["y"].tolist() == [[1, 2], [5, 6]]


def test_a_function_makes_text_with_nulls(tmp_path: Path) -> None:
    outputs = [{"name": "y", "dtype": "string"}]
    body = "def f(s):\n    return [None if t == 'b' else t.upper() for t in s]\n"
    pipeline = pipeline_of(tmp_path, body, ["s"], outputs)
    columns: Any = ingest_columns(pipeline, {"s": ["a", "b"]})
    assert columns["y"].tolist() == ["A", ""]
    assert columns.validity("y").tolist() == [True, False]


def test_nulls_in_floats_are_nan_to_the_function(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, "def f(x):\n    return np.where(np.isnan(x), -1, x)\n")
    assert ingest_columns(pipeline, {"x": [1.0, None]})["y"].tolist() == [1, -1]


def test_rows_with_other_nulls_are_kept_from_the_function(tmp_path: Path) -> None:
    body = "def f(n):\n    assert n.tolist() == [3, 5]\n    return n / 2\n"
    pipeline = pipeline_of(tmp_path, body, ["n"])
    columns: Any = ingest_columns(pipeline, {"n": [3, None, 5]})
    np.testing.assert_array_equal(columns["y"], np.array([1.5, np.nan, 2.5], np.float32))
    assert columns.validity("y").tolist() == [True, False, True]


def test_a_function_is_not_called_for_nothing_but_nulls(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, "def f(n):\n    raise AssertionError\n", ["n"])
    assert np.isnan(ingest_columns(pipeline, {"x": [1.0]})["y"]).all()


async def test_an_exception_fails_its_rows_and_tells_its_type_only(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, "def f(x):\n    raise KeyError('secret')\n")
    with structlog.testing.capture_logs() as lines:
        _, failures = await served(pipeline, [1.0, 2.0])
    assert sorted(failures) == [0, 1]
    assert failures[0].reason is Reason.USER_FUNCTION_FAILED
    assert "KeyError" in failures[0].message
    assert "secret" not in failures[0].message
    (line,) = lines
    assert "secret" in str(line["exc_info"])
    assert line["error.id"] in failures[0].message


async def test_a_function_cannot_end_the_process(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, "def f(x):\n    raise SystemExit(3)\n")
    _, failures = await served(pipeline, [1.0])
    assert "SystemExit" in failures[0].message


async def test_a_row_that_a_function_cannot_work_on_fails_alone(tmp_path: Path) -> None:
    body = (
        "def f(x):\n"
        "    calls.append(len(x))\n"
        "    if (x < 0).any():\n"
        "        raise ValueError('negative')\n"
        "    return np.sqrt(x)\n"
    )
    pipeline = pipeline_of(tmp_path, body)
    values = [float(n * n) for n in range(256)]
    values[77] = -1.0
    columns, failures = await served(pipeline, values)
    assert list(failures) == [77]
    assert "ValueError" in failures[77].message
    expected = [float(n) for n in range(256)]
    expected[77] = 0.0
    assert columns["y"].tolist() == expected


async def test_a_function_that_always_fails_is_called_a_bounded_number_of_times(
    tmp_path: Path,
) -> None:
    body = "def f(x):\n    calls.append(len(x))\n    raise ValueError\n"
    pipeline = pipeline_of(tmp_path, body)
    with structlog.testing.capture_logs() as lines:
        _, failures = await served(pipeline, [0.0] * 1000)
    assert len(failures) == 1000
    assert len(lines) == 1
    step: Any = compile_ingest(pipeline).steps[0]
    assert len(step._function.__globals__["calls"]) <= MAX_ISOLATING_CALLS


@pytest.mark.parametrize(
    ("body", "dtype", "found"),
    [
        ("return x[:-1]", "float32", "'y' of shape [1], expected shape [2]"),
        ("return np.zeros((2, 2))", "float32", "'y' of shape [2, 2]"),
        ("return 1.0", "float32", "'y' of shape []"),
        ("return None", "float32", "'y' of shape []"),
        ("return x", "int64", "'y' of type float64, expected int64"),
        ("return x.astype(complex)", "float32", "'y' of type complex128"),
        ("return np.array(['a', 'b'])", "float32", "'y' of type <U1"),
        ("return x", "string", "'y' with a float"),
        ("return {'z': x}", "float32", "outputs z, expected y"),
        ("return [[1.0], [1.0, 2.0]]", "float32", "list"),
    ],
)
async def test_an_unusable_result_fails_the_rows_and_says_why(
    tmp_path: Path, body: Any, dtype: Any, found: Any
) -> None:
    pipeline = pipeline_of(tmp_path, f"def f(x):\n    {body}\n", dtype=dtype)
    _, failures = await served(pipeline, [1.0, 2.0])
    assert sorted(failures) == [0, 1]
    assert failures[0].reason is Reason.USER_FUNCTION_FAILED
    assert found in failures[0].message


@pytest.mark.parametrize(
    ("body", "dtype"),
    [
        ("return np.where(x > 1, np.inf, x)", "float64"),
        ("return np.where(x > 1, 1e39, x)", "float32"),
        ("return np.where(x > 1, 2**40, 0)", "int32"),
        ("return np.where(x > 1, 2**62, 0)", "timestamp"),
    ],
)
async def test_a_number_that_does_not_fit_fails_its_row(
    tmp_path: Path, body: Any, dtype: Any
) -> None:
    pipeline = pipeline_of(tmp_path, f"def f(x):\n    {body}\n", dtype=dtype)
    columns, failures = await served(pipeline, [1.0, 2.0, 0.0])
    assert list(failures) == [1]
    assert failures[1].reason is Reason.USER_FUNCTION_FAILED
    assert columns["y"].shape == (3,)


async def test_a_function_cannot_write_into_the_columns(tmp_path: Path) -> None:
    pipeline = pipeline_of(tmp_path, "def f(x):\n    x[:] = 0\n    return x\n")
    _, failures = await served(pipeline, [1.0])
    assert "ValueError" in failures[0].message


def test_offline_a_function_that_fails_tells_its_row(tmp_path: Path) -> None:
    body = "def f(x):\n    if 3 in x:\n        raise ValueError\n    return x\n"
    with pytest.raises(BadRow) as failure:
        ingest_columns(pipeline_of(tmp_path, body), {"x": [1.0, 2.0, 3.0, 4.0]})
    assert failure.value.row == 2


@pytest.mark.parametrize(
    ("body", "inputs", "path", "found"),
    [
        ("def g(x):\n    pass\n", ["x"], "ingest.steps[0].function", "'f'"),
        ("def f(a):\n    pass\n", ["x"], "ingest.steps[0].function", "functions:f(a)"),
        ("async def f(x):\n    pass\n", ["x"], "ingest.steps[0].function", "coroutine"),
        ("raise RuntimeError('no')\n", ["x"], "ingest.steps[0].function", "RuntimeError"),
        ("def f():\n    pass\n", [], "ingest.steps[0].inputs", "no column"),
    ],
)
def test_a_function_that_cannot_be_called_is_a_problem_of_the_file(
    tmp_path: Path, body: Any, inputs: Any, path: Any, found: Any
) -> None:
    with pytest.raises(SpecError) as refused:
        compile_ingest(pipeline_of(tmp_path, body, inputs))
    (problem,) = refused.value.problems
    assert problem.path == path
    assert found in problem.found


async def test_a_pipeline_that_is_slow_several_times_in_a_row_leaves_the_event_loop(
    tmp_path: Path,
) -> None:
    body = (
        "def f(x):\n"
        "    time.sleep(float(x.max()))\n"
        "    return np.full(len(x), threading.get_ident() % 2**20)\n"
    )
    pipeline = pipeline_of(tmp_path, body, dtype="int64")
    compiled = compile_ingest(pipeline)
    handler = IngestHandler(IngestSettings())

    async def thread_of(delay_s: Any) -> Any:
        rows = Rows(["0"], [2**62] * 1)
        batch = Batch(pipeline.name, pipeline.version, rows, Columns(1))
        requests = [{"x": tensor_pb2.Value(double_value=delay_s)}]
        return (await done(handler.handle(batch, requests, compiled)))["y"].tolist()[0]

    here = threading.get_ident() % 2**20
    for _ in range(SLOW_IN_A_ROW):
        assert await thread_of(0.02) == here
    assert await thread_of(0.02) != here


async def test_a_cancelled_batch_stops_between_steps(tmp_path: Path) -> None:
    body = (
        "def f(x):\n    calls.append('f')\n    time.sleep(0.2)\n    return x\n"
        "def g(y):\n    calls.append('g')\n    return y\n"
    )
    steps = [
        {"step": "function", "function": "functions:f", "inputs": ["x"],
         "outputs": [{"name": "y", "dtype": "float64"}]},
        {"step": "function", "function": "functions:g", "inputs": ["y"],
         "outputs": [{"name": "z", "dtype": "float64"}]},
    ]  # fmt: skip
    pipeline = written_pipeline(tmp_path, FIELDS, steps, ["z"], functions=HEAD + body)
    compiled = compile_ingest(pipeline)
    first: Any = compiled.steps[0]
    calls = first._function.__globals__["calls"]
    rows = Rows(["0"], [2**62] * 1)
    batch = Batch(pipeline.name, pipeline.version, rows, Columns(1))
    handler = IngestHandler(IngestSettings(offload_cells=1))
    requests = [{"x": tensor_pb2.Value(double_value=1.0)}]
    call = asyncio.create_task(done(handler.handle(batch, requests, compiled)))
    await asyncio.to_thread(wait_for, lambda: bool(calls))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.get_running_loop().shutdown_default_executor()
    assert calls == ["f"]
