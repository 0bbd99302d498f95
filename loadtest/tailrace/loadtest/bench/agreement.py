"""Whether contenders do the same work: all answer the same rows with the same score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

TOLERANCE = 1e-5
"""Scores are probabilities; by so much they may differ."""


def largest_difference(scores: Mapping[str, Sequence[float]]) -> float:
    """Returns the largest difference between contenders on the same rows.

    Args:
        scores: of the same rows in the same order, by contender.

    Raises:
        RuntimeError: it is above the tolerance, or a score is not a number.
    """
    columns = np.array(list(scores.values()))
    worst = float(np.ptp(columns, axis=0).max())
    if not worst <= TOLERANCE:
        raise RuntimeError(f"contenders differ by up to {worst:g}: {', '.join(scores)}")
    return worst


def count_wrong(scores: Iterable[float], expected: Iterable[float]) -> int:
    """Returns how many scores are not those expected."""
    pairs = zip(scores, expected, strict=True)
    return sum(1 for score, right in pairs if not abs(score - right) <= TOLERANCE)
