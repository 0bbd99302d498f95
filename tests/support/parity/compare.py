"""Whether two engines gave the same values, feature by feature and instant by instant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tailrace.runtime.columns import Array
from tailrace.runtime.pipeline.feature import Feature
from tailrace.runtime.pipeline.feature_view import FeatureView

RELATIVE = 1e-9
"""How far sums, means and standard deviations may differ, relative to the value."""

DISTINCT = 0.02
"""How far estimates of distinct values may differ, relative to the number."""

_SUMMED = ("sum", "mean", "stddev")
_SHOWN = 10


@dataclass(slots=True)
class Comparison:
    """What was compared.

    Attributes:
        values: number of values, flags `missing` included.
        inexact: number of those that are not the same, but within what is allowed.
        mismatches: the first few that differ by more, in words.
        different: number of all that differ by more.
    """

    values: int = 0
    inexact: int = 0
    mismatches: list[str] = field(default_factory=list)
    different: int = 0


def compare(
    views: Iterable[FeatureView],
    online: Mapping[str, Array],
    offline: pa.Table,
    scale: float = 0.0,
) -> Comparison:
    """Returns how what serving answered differs from what training computed.

    Args:
        views: the views that were asked.
        online: columns of what serving answered.
        offline: the training set.
        scale: sums and the like may also differ by so much: what rounding leaves of terms that
            cancel each other.
    """
    found = Comparison()
    for view in views:
        missing = f"{view.view}.missing"
        _count(found, missing, online[missing], _numpy(offline[missing]), None)
        for feature in view.features:
            name = f"{view.view}.{feature.name}"
            trained = _numpy(offline[name])
            allowed = _allowed(feature, online[name], trained, scale)
            _count(found, name, online[name], trained, allowed)
    return found


def _count(
    found: Comparison,
    name: str,
    served: Array,
    trained: Array,
    allowed: NDArray[np.float64] | None,
) -> None:
    assert served.dtype == trained.dtype, (name, served.dtype, trained.dtype)
    same = served == trained
    if served.dtype.kind == "f":
        same |= np.isnan(served) & np.isnan(trained)
    close = same
    if allowed is not None:
        apart = np.abs(served.astype(np.float64) - trained.astype(np.float64))
        close = same | (apart <= allowed)
    found.values += len(served)
    found.inexact += int((close & ~same).sum())
    wrong = np.flatnonzero(~close)
    found.different += len(wrong)
    for row in wrong[: max(0, _SHOWN - len(found.mismatches))].tolist():
        found.mismatches.append(
            f"{name}, instant {row}: served {served[row]!r}, trained {trained[row]!r}"
        )


def _allowed(
    feature: Feature, served: Array, trained: Array, scale: float
) -> NDArray[np.float64] | None:
    """Returns how far the values of a feature may differ; None for not at all."""
    assert feature.aggregate is not None, "the view is windowed"
    function = feature.aggregate.function
    exact = np.abs(trained.astype(np.float64))
    if function == "distinct":
        # Two of a few values may share a register.
        return np.maximum(1.0, DISTINCT * exact)
    if function not in _SUMMED:
        return None
    allowed = np.nan_to_num(RELATIVE * exact + scale, posinf=math.inf)
    if feature.type == "float32":
        # Two float64 that are as close may round to neighbours.
        allowed = np.maximum(allowed, np.nan_to_num(np.spacing(np.abs(trained))))
    return np.asarray(allowed, np.float64)


def _numpy(column: Any) -> Array:
    column = column.combine_chunks()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values: Array = column.to_numpy(zero_copy_only=False)
    return values
