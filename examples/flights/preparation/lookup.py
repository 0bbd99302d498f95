"""Looks features up in tables, to the same result as the features service in its store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature_view import EntityKey
from tailrace.runtime.pipeline.plan import ViewPlan


def look_up(
    plan: ViewPlan, keys: Sequence[NDArray[Any]], table: pd.DataFrame
) -> dict[str, NDArray[Any]]:
    """Returns the feature columns of one view by name, each of shape [rows].

    Args:
        plan: the view.
        keys: values of each of its keys, in order, each of shape [rows]; instants as int64
            microseconds.
        table: the view's rows: key columns, with instants as pandas has them, and features.
    """
    asked = [_floored(source.key, key) for source, key in zip(plan.keys, keys, strict=True)]
    stored = [_stored_keys(source.key, table) for source in plan.keys]
    places = pd.MultiIndex.from_arrays(stored).get_indexer(pd.MultiIndex.from_arrays(asked))
    found = places >= 0
    view = plan.view
    features: dict[str, NDArray[Any]] = {}
    for feature in view.features:
        dtype = feature.dtype.numpy
        values = table[feature.name].to_numpy(dtype=dtype)
        default = dtype.type(feature.default_value)
        features[f"{plan.name}.{feature.name}"] = np.where(found, values[places], default)
    if "missing" in view.flag_names():
        features[f"{plan.name}.missing"] = ~found
    return features


def _stored_keys(key: EntityKey, table: pd.DataFrame) -> NDArray[Any]:
    values = table[key.name]
    if key.dtype is DType.TIMESTAMP:
        return _floored(key, values.dt.as_unit("us").astype("int64").to_numpy())
    return values.to_numpy()


def _floored(key: EntityKey, values: NDArray[Any]) -> NDArray[Any]:
    if key.granularity is None:
        return values
    step_us = round(key.granularity.total_seconds() * 1e6)
    return values // step_us * step_us
