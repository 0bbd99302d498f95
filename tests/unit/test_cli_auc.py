"""The area under the ROC curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.auc import area_under_curve


def counted_pairs(labels: list[bool], scores: list[float]) -> float:
    """Returns the share of pairs in which the positive scores higher, by looking at each."""
    positives = [score for label, score in zip(labels, scores, strict=True) if label]
    negatives = [score for label, score in zip(labels, scores, strict=True) if not label]
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return wins / (len(positives) * len(negatives))


def test_perfect_and_reversed_scores_reach_the_ends() -> None:
    assert area_under_curve([False, False, True, True], [0.1, 0.2, 0.3, 0.4]) == 1
    assert area_under_curve([True, True, False, False], [0.1, 0.2, 0.3, 0.4]) == 0


def test_equal_scores_are_worth_a_half() -> None:
    assert area_under_curve([True, False, True, False], [0.5] * 4) == 0.5


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_ranks_agree_with_counting_all_pairs(rows: list[tuple[bool, int]]) -> None:
    rows = [(True, 3), (False, 3), *rows]
    labels, scores = [label for label, _ in rows], [float(score) for _, score in rows]
    assert area_under_curve(labels, scores) == pytest.approx(counted_pairs(labels, scores))


def test_one_class_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="2 positives and 0 negatives"):
        area_under_curve([True, True], [0.1, 0.2])


def test_nan_score_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        area_under_curve([True, False], [np.nan, 0.2])


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        area_under_curve([True, False], [0.1])
