"""Which features a stored row holds, in which order: what a reader and a writer must agree on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature_view import FeatureView

STORAGE_ORDER = (DType.FLOAT64, DType.INT64, DType.FLOAT32, DType.BOOL, DType.STRING)


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """The features of one type, which are stored together.

    Attributes:
        dtype: type of all of them.
        names: in the order in which the view declares them.
        start: number of the first one among all features of the row, in storage order.
    """

    dtype: DType
    names: tuple[str, ...]
    start: int

    @property
    def stop(self) -> int:
        """One more than the number of the last one."""
        return self.start + len(self.names)


@dataclass(frozen=True, slots=True)
class RowSchema:
    """What the rows of one view hold.

    Attributes:
        schema_id: uint32 that names it; rows of another one are not read.
        groups: all features, by type in `STORAGE_ORDER`; types without features are left out.
    """

    schema_id: int
    groups: tuple[FeatureGroup, ...]

    @property
    def features(self) -> int:
        """Number of features."""
        return self.groups[-1].stop


def row_schema(view: FeatureView) -> RowSchema:
    """Returns the schema of a view's rows."""
    groups: list[FeatureGroup] = []
    start = 0
    for dtype in STORAGE_ORDER:
        names = tuple(feature.name for feature in view.features if feature.dtype is dtype)
        if names:
            groups.append(FeatureGroup(dtype, names, start))
            start += len(names)
    return RowSchema(_schema_id(view), tuple(groups))


def _schema_id(view: FeatureView) -> int:
    """Returns the BLAKE2s hash, 4 bytes, of keys and features with their types, in order.

    The keys are part of it: rows stored under keys of another form would never be found, and
    every entity would look missing.
    """
    keys = [
        [key.name, key.type, key.granularity.total_seconds() if key.granularity else None]
        for key in view.keys
    ]
    features = [[feature.name, feature.type] for feature in view.features]
    text = json.dumps([keys, features], separators=(",", ":"))
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=4).digest(), "little")
