"""A small neural network for the same question, as weights; PyTorch is not needed to make it.

It is there to be run on a GPU, not to be the best: its first layer is random, only the second
is fitted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preparation.calibration import fit_logistic
from preparation.feature_matrix import Matrix

_HIDDEN = 64
_ROWS = 50_000

Weights = dict[str, NDArray[np.float32]]


def make_network(features: Matrix, late: NDArray[np.bool_]) -> Weights:
    """Returns the weights, float32; the same for the same rows.

    Args:
        features: float32[rows, features], NaN where missing.
        late: bool[rows].

    Returns:
        mean and scale [features], hidden_weight [features, 64], hidden_bias [64], late_weight
        [64, 1], late_bias [1].
    """
    generator = np.random.default_rng(7)
    rows = generator.choice(len(features), min(_ROWS, len(features)), replace=False)
    size = features.shape[1]
    weights = {
        "mean": np.nanmean(features, axis=0, dtype=np.float64).astype(np.float32),
        "scale": np.nanstd(features, axis=0, dtype=np.float64).astype(np.float32),
        "hidden_weight": _random(generator, (size, _HIDDEN)) / np.float32(size**0.5),
        "hidden_bias": _random(generator, (_HIDDEN,)),
    }
    hidden = _hidden_layer(weights, features[rows])
    design = np.column_stack([hidden, np.ones(len(rows))]).astype(np.float64)
    fitted = fit_logistic(design, late[rows], ridge=1.0).astype(np.float32)
    return weights | {"late_weight": fitted[:-1, np.newaxis], "late_bias": fitted[-1:]}


def run_network(weights: Weights, features: Matrix) -> NDArray[np.float32]:
    """Returns the probability of being late, float32[rows, 1], as Triton's model computes it."""
    late = _hidden_layer(weights, features) @ weights["late_weight"] + weights["late_bias"]
    probability: NDArray[np.float32] = 1 / (1 + np.exp(-late))
    return probability


def _hidden_layer(weights: Weights, features: Matrix) -> NDArray[np.float32]:
    standard = np.nan_to_num((features - weights["mean"]) / weights["scale"])
    hidden: NDArray[np.float32] = np.tanh(
        standard @ weights["hidden_weight"] + weights["hidden_bias"]
    )
    return hidden


def _random(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return generator.standard_normal(shape, dtype=np.float32)
