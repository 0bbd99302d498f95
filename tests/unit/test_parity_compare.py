"""The comparison of two engines tells what differs by more than it may."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.support.history_tables import windowed
from tests.support.parity.compare import compare

_PRESENT = np.zeros(2, np.bool_)


@pytest.mark.parametrize(
    ("function", "type_name", "trained", "close", "apart"),
    [
        ("sum", "float64", 1e6, 1e6 * (1 + 5e-10), 1e6 * (1 + 2e-9)),
        ("mean", "float32", 1.0, 1.0 + 1.2e-7, 1.0 + 3e-7),
        ("max", "float64", 1.0, 1.0, 1.0 + 2.3e-16),
        ("count", "int64", 5, 5, 6),
        ("distinct", "int64", 1000, 1020, 1021),
        ("distinct", "int64", 3, 4, 5),
        ("last", "float64", float("nan"), float("nan"), 0.0),
    ],
)
def test_values_that_are_too_far_apart_are_mismatches(
    function: str, type_name: str, trained: float, close: float, apart: float
) -> None:
    aggregate = {"function": function, "window": "10m", "type": type_name}
    view = windowed(aggregate if function == "count" else {**aggregate, "of": "fare"})
    dtype = np.dtype(type_name)
    offline = pa.table(
        {"v.f0": pa.array(np.array([trained] * 2, dtype)), "v.missing": pa.array(_PRESENT)}
    )
    served = {"v.f0": np.array([close, apart], dtype), "v.missing": _PRESENT}
    found = compare([view], served, offline)
    assert (found.values, found.different) == (4, 1)
    assert found.mismatches[0].startswith("v.f0, instant 1: served")


def test_a_view_that_only_one_engine_misses_is_a_mismatch() -> None:
    view = windowed({"function": "count", "window": "10m", "type": "int64"})
    numbers = np.array([0, 0], np.int64)
    offline = pa.table({"v.f0": pa.array(numbers), "v.missing": pa.array(_PRESENT)})
    found = compare([view], {"v.f0": numbers, "v.missing": ~_PRESENT}, offline)
    assert found.different == 2
