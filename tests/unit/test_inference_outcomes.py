"""The outcomes of several calls, as one batch again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tailrace.inference.outcomes import Outcome, merged
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import DType
from tailrace.runtime.errors import ModelOutputInvalid, Overloaded, Unavailable
from tailrace.runtime.pipeline.model_section import ModelOutput

SCORE = ModelOutput(name="score", dtype=DType.FLOAT32, shape=[1])
SAID = ModelOutput(name="said", dtype=DType.STRING, shape=[])


def rows_of(count: int) -> Rows:
    return Rows([f"r{row}" for row in range(count)], [0] * count)


def answered(rows: list[int], scores: list[float], version: str = "1", **parts: Any) -> Outcome:
    values = np.array(scores, np.float32).reshape(-1, 1)
    return Outcome(np.array(rows), version, {"score": values}, **parts)


def failed(rows: list[int], error: Exception) -> Outcome:
    outcome = Outcome(np.array(rows))
    outcome.error = error  # type: ignore[assignment]  # TailraceError by the callers below
    return outcome


def test_one_call_for_all_rows_is_passed_on_without_a_copy() -> None:
    outcome = answered([0, 1], [5, 6])
    result = merged("m", [outcome], [SCORE], rows_of(2))
    assert np.shares_memory(result.columns["score"], outcome.outputs["score"])
    assert (result.model, result.versions) == ("m", ["1"])


def test_rows_of_several_versions_find_their_places() -> None:
    outcomes = [answered([3, 0], [30, 0], "1"), answered([1], [10], "2")]
    result = merged("m", outcomes, [SCORE], rows_of(4))
    assert result.columns["score"].tolist() == [[0], [10], [0], [30]]
    assert result.versions == ["1", "2", "", "1"]


def test_a_failed_call_fails_its_rows_only() -> None:
    rows = rows_of(3)
    result = merged("m", [answered([1], [7]), failed([0, 2], Overloaded("full"))], [SCORE], rows)
    assert sorted(rows.failures) == [0, 2]
    assert result.columns["score"].tolist() == [[0], [7], [0]]
    assert result.versions == ["1"]


def test_if_every_call_fails_the_first_error_is_raised() -> None:
    rows = rows_of(2)
    with pytest.raises(Unavailable):
        merged("m", [failed([0], Unavailable("a")), failed([1], Overloaded("b"))], [SCORE], rows)
    assert not rows.failures


def test_bad_rows_fail_by_their_place_in_the_batch() -> None:
    rows = rows_of(5)
    outcome = answered([1, 4], [1, 2], bad={1: ModelOutputInvalid("NaN")})
    merged("m", [outcome], [SCORE], rows)
    assert list(rows.failures) == [4]


def test_without_any_call_there_are_columns_of_zeros_and_empty_text() -> None:
    result = merged("m", [], [SCORE, SAID], rows_of(2))
    assert result.columns["score"].tolist() == [[0], [0]]
    assert result.columns["said"].tolist() == ["", ""]
    assert result.versions == ["", ""]


def test_calls_whose_rows_differ_in_shape_cannot_stand_together() -> None:
    free = ModelOutput(name="score", dtype=DType.FLOAT32, shape=[-1])
    other = Outcome(np.array([1]), "2", {"score": np.zeros((1, 3), np.float32)})
    rows = rows_of(2)
    result = merged("m", [answered([0], [4]), other], [free], rows)
    assert isinstance(rows.failures[1], ModelOutputInvalid)
    assert result.columns["score"].tolist() == [[4], [0]]
    assert result.versions == ["1"]
