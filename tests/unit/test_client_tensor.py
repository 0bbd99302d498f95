"""Tensors hold what nested lists held, in the layout of the protocol."""

from __future__ import annotations

import builtins
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.client.tensor import DTYPES, Tensor
from tailrace.runtime.columns import DType
from tailrace.runtime.wire import array_to_tensor, tensor_to_array

NUMERIC = [name for name in DTYPES if name not in ("string", "bytes", "timestamp")]
SAMPLES: dict[str, list[Any]] = {
    **{name: [[0, 1, 2], [3, 4, 127]] for name in NUMERIC},
    "bool": [[True, False, True], [False, False, True]],
    "string": [["a", "", "ü"], ["bcd", "e", "f"]],
    "bytes": [[b"a", b"", b"\xff"], [b"bcd", b"e", b"f"]],
    "timestamp": [[datetime(1969, 1, day, tzinfo=UTC) for day in (1, 2, 3)]],
}


def test_dtypes_are_those_of_the_services() -> None:
    assert set(DTYPES) == {dtype.value for dtype in DType}


@pytest.mark.parametrize("dtype", DTYPES)
def test_lists_come_back_as_they_were(dtype: str) -> None:
    values = SAMPLES[dtype]

    tensor = Tensor.of(values, dtype)

    assert tensor.shape == (len(values), 3)
    assert Tensor.of_message(tensor.to_message()).tolist() == values


@pytest.mark.parametrize("dtype", DTYPES)
def test_services_read_and_write_the_same_layout(dtype: str) -> None:
    tensor = Tensor.of(SAMPLES[dtype], dtype)

    read_dtype, array = tensor_to_array(tensor.to_message(), "fields.x")
    written = array_to_tensor(array, read_dtype)

    assert read_dtype.value == dtype
    assert Tensor.of_message(written) == tensor
    np.testing.assert_array_equal(tensor.numpy(), array)


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_single_precision_is_kept(values: list[float]) -> None:
    assert Tensor.of(values, "float32").tolist() == values


def test_one_value_has_no_dimensions() -> None:
    tensor = Tensor.of(1.5, "float64")

    assert tensor.shape == ()
    assert tensor.tolist() == 1.5


@pytest.mark.parametrize("dtype", ["float32", "string"])
def test_empty_lists_have_no_elements(dtype: str) -> None:
    assert Tensor.of([], dtype).tolist() == []
    assert Tensor.of([[], []], dtype).shape == (2, 0)
    assert Tensor.of([[], []], dtype).tolist() == [[], []]


@pytest.mark.parametrize(
    ("values", "dtype", "said"),
    [
        ([1, 2], "float", "unknown dtype 'float'; known: bool"),
        ([[1, 2], [3]], "int64", "a list of 1 elements beside one of 2"),
        ([[1, 2], 3], "int64", "nested unequally deep"),
        ([1, [2]], "int64", "nested unequally deep"),
        ([1, 300], "int8", "300 does not fit int8"),
        ([-1], "uint64", "-1 does not fit uint64"),
        ([2**63], "int64", "does not fit int64"),
        ([1e39], "float32", "does not fit float32"),
        ([1e5], "float16", "does not fit float16"),
        ([1.5], "int64", "1.5 is no int64"),
        ([True], "int64", "True is no int64"),
        ([True], "float32", "True is no float32"),
        ([1], "bool", "1 is no bool"),
        (["1"], "float32", "'1' is no float32"),
        ([None], "float32", "None is no float32"),
        ([b"a"], "string", "b'a' is no string"),
        (["a"], "bytes", "'a' is no bytes"),
        (["\ud800"], "string", "surrogates"),
        ([datetime(2013, 1, 1)], "timestamp", "without an offset"),
        ([5], "timestamp", "5 is no datetime"),
    ],
)
def test_lists_that_are_no_such_tensor_are_refused(values: Any, dtype: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Tensor.of(values, dtype)


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor("float32", (2,), b"\0" * 7),
        Tensor("float32", (-2,), b""),
        Tensor("string", (1,), b"ab"),
        Tensor("string", (1,), b"ab", b"\0\0\0\0\1\0\0\0"),
        Tensor("bytes", (2,), b"ab", b"\0\0\0\0\3\0\0\0\2\0\0\0"),
        Tensor("string", (1,), b"\xff", b"\0\0\0\0\1\0\0\0"),
    ],
)
def test_contradictory_tensor_is_an_error_not_a_value(tensor: Tensor) -> None:
    with pytest.raises(ValueError):
        tensor.tolist()


def test_numpy_missing_is_said_by_numpy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_numpy(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "numpy":
            raise ImportError("No module named 'numpy'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_numpy)
    monkeypatch.setitem(sys.modules, "numpy", None)

    assert Tensor.of([1, 2], "int8").tolist() == [1, 2]
    with pytest.raises(ImportError):
        Tensor.of([1, 2], "int8").numpy()


def test_client_does_not_import_numpy() -> None:
    program = "import sys, tailrace.client; sys.exit('numpy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
