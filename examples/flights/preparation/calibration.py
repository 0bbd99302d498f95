"""How good probabilities are, and Platt's way of mending them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of probabilities beside what happened.

    Attributes:
        rows: how many.
        base_rate: share of rows that happened.
        mean_probability: mean of the probabilities; equals the base rate if well calibrated.
        auc: area under the ROC curve.
        brier: mean squared difference of probability and outcome.
        calibration_error: expected calibration error over ten bins of equal width.
    """

    rows: int
    base_rate: float
    mean_probability: float
    auc: float
    brier: float
    calibration_error: float


def quality(probability: Probabilities, happened: Labels) -> Quality:
    """Returns the figures of these probabilities."""
    return Quality(
        rows=len(happened),
        base_rate=float(happened.mean()),
        mean_probability=float(probability.mean()),
        auc=_auc(probability, happened),
        brier=float(np.mean((probability - happened) ** 2)),
        calibration_error=_calibration_error(probability, happened),
    )


def fit_platt(probability: Probabilities, happened: Labels) -> tuple[float, float]:
    """Returns a and b such that sigmoid(a * logit(p) + b) fits best, by maximum likelihood.

    J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999; without his smoothed
    targets, as rows are many.
    """
    design = np.column_stack([_logit(probability), np.ones_like(probability)])
    a, b = fit_logistic(design, happened).tolist()
    return a, b


def fit_logistic(
    design: NDArray[np.float64], happened: Labels, ridge: float = 0.0
) -> NDArray[np.float64]:
    """Returns the weights w such that sigmoid(design @ w) is likeliest, by Newton's method.

    Args:
        design: float64[rows, weights].
        happened: bool[rows].
        ridge: weight of |w|^2 / 2 against the log likelihood; above 0 there is an answer
            where columns depend on each other or part the outcomes.
    """
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        fitted = _sigmoid(design @ weights)
        gradient = design.T @ (fitted - happened) + ridge * weights
        curvature = (design * (fitted * (1 - fitted))[:, np.newaxis]).T @ design
        step = np.linalg.solve(curvature + ridge * np.eye(len(weights)), gradient)
        weights -= step
        if np.abs(step).max() < 1e-10:
            break
    return weights


def apply_platt(probability: Probabilities, a: float, b: float) -> Probabilities:
    """Returns sigmoid(a * logit(p) + b), as the pipeline's `platt` step does."""
    return _sigmoid(a * _logit(probability) + b)


def _auc(probability: Probabilities, happened: Labels) -> float:
    # The chance that a row that happened ranks above one that did not; ties count half.
    _, inverse, counts = np.unique(probability, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(counts)
    ranks = (last_rank - (counts - 1) / 2)[inverse]
    positives = int(happened.sum())
    negatives = len(happened) - positives
    above = ranks[happened].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def _calibration_error(probability: Probabilities, happened: Labels) -> float:
    bins = np.minimum((probability * 10).astype(int), 9)
    gaps = np.bincount(bins, weights=probability - happened, minlength=10)
    return float(np.abs(gaps).sum() / len(happened))


def _logit(probability: Probabilities) -> Probabilities:
    logit: Probabilities = np.log(probability) - np.log1p(-probability)
    return logit


def _sigmoid(value: Probabilities) -> Probabilities:
    probability: Probabilities = 1 / (1 + np.exp(-value))
    return probability
