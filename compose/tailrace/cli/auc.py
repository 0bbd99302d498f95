"""How well scores tell two classes apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def area_under_curve(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Returns the area under the ROC curve, from 0 to 1; 0.5 is what chance reaches.

    It is the probability that a positive scores higher than a negative, a tie counting half:
    the Mann-Whitney statistic, by ranks. Source: J. A. Hanley, B. J. McNeil, "The Meaning and
    Use of the Area under a Receiver Operating Characteristic (ROC) Curve", 1982.

    Args:
        labels: bool[rows], true for positives.
        scores: float[rows], finite, higher meaning likelier positive.

    Raises:
        ValueError: if the lengths differ, a score is not finite, or one class has no rows.
    """
    positive = np.asarray(labels, dtype=np.bool_)
    values = np.asarray(scores, dtype=np.float64)
    if positive.ndim != 1 or positive.shape != values.shape:
        raise ValueError(f"labels {positive.shape} and scores {values.shape} differ in shape")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite")
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        raise ValueError(f"{positives} positives and {negatives} negatives: both are needed")
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(count)
    mean_rank = last_rank - (count - 1) / 2
    rank_sum = float(mean_rank[place][positive].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)
