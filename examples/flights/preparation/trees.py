"""The model: gradient-boosted trees."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from preparation.feature_matrix import Matrix


@dataclass(frozen=True, slots=True)
class Growth:
    """How many trees there are, and how much each of them may say.

    Attributes:
        trees: how many.
        learning_rate: weight of each.
    """

    trees: int
    learning_rate: float


# Chosen, as all else here, on splits of January to August.
STATIC_GROWTH = Growth(150, 0.04)
WINDOWED_GROWTH = Growth(200, 0.06)

_PARAMETERS = {
    "objective": "binary",
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "seed": 7,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
_BLANKED_SHARE = 0.05
_BLANK_VIEW = 0.5
_BLANK_COLUMN = 0.05


def train_trees(
    features: Matrix,
    late: NDArray[np.bool_],
    columns: list[str],
    threads: int,
    growth: Growth = STATIC_GROWTH,
) -> lgb.Booster:
    """Returns trees that tell the probability of being late; the same for the same rows.

    Args:
        features: float32[rows, columns].
        late: bool[rows].
        columns: names of the columns; `<view>.<feature>` where they come from a view.
        threads: threads to train with; the trees do not depend on it.
        growth: how many trees.
    """
    blanked, sources = blanked_copies(features, columns)
    data = lgb.Dataset(
        np.concatenate([features, blanked]),
        np.concatenate([late, late[sources]]).astype(np.float32),
        feature_name=[name.replace(".", "_") for name in columns],
    )
    parameters = {**_PARAMETERS, "learning_rate": growth.learning_rate, "num_threads": threads}
    return lgb.train(parameters, data, growth.trees)


def probabilities(booster: lgb.Booster, features: Matrix) -> NDArray[np.float64]:
    """Returns the probability of being late of each row, float64[rows]."""
    return np.asarray(booster.predict(features, num_threads=1), dtype=np.float64)


def blanked_copies(features: Matrix, columns: list[str]) -> tuple[Matrix, NDArray[np.intp]]:
    """Returns copies of some rows with parts made NaN, and which rows they are copies of.

    They teach the trees what to make of a flight whose features are missing, wholly (the
    store is down) or in part. Without them LightGBM takes a NaN, in a column that never had
    one, for zero, and the exported model does not.
    """
    generator = np.random.default_rng(7)
    count = round(len(features) * _BLANKED_SHARE)
    sources = np.sort(generator.choice(len(features), count, replace=False))
    copies = features[sources]
    views = [name.partition(".")[0] if "." in name else "" for name in columns]
    for view in sorted(set(views) - {""}):
        of_view = [place for place, name in enumerate(views) if name == view]
        blank = np.flatnonzero(generator.random(count) < _BLANK_VIEW)
        copies[blank[:, np.newaxis], of_view] = np.nan
    copies[generator.random(copies.shape) < _BLANK_COLUMN] = np.nan
    return copies, sources
