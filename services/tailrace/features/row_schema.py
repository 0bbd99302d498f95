"""Which features a stored row holds, in which order: what a reader and a writer must agree on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.feature_view import Feature, FeatureView

STORAGE_ORDER = (
    DType.FLOAT64,
    DType.INT64,
    DType.TIMESTAMP,
    DType.FLOAT32,
    DType.INT32,
    DType.BOOL,
    DType.STRING,
)


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """The features of one type and shape, which are stored together.

    Attributes:
        dtype: type of all of them; categories are int32.
        names: in the order in which the view declares them.
        start: number of the first one among all features of the row, in storage order.
        length: elements of each, where they are vectors; None for single values.
        codes: how many values each category may have; empty for other types.
    """

    dtype: DType
    names: tuple[str, ...]
    start: int
    length: int | None = None
    codes: tuple[int, ...] = ()

    @property
    def stop(self) -> int:
        """One more than the number of the last one."""
        return self.start + len(self.names)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row's value: empty, or the length of the vectors."""
        return () if self.length is None else (self.length,)


@dataclass(frozen=True, slots=True)
class RowSchema:
    """What the rows of one view hold.

    Attributes:
        schema_id: uint32 that names it; rows of another one are not read.
        groups: all features: single values by type in `STORAGE_ORDER`, with the vectors before
            the strings, by type and then by length. Groups without features are left out.
    """

    schema_id: int
    groups: tuple[FeatureGroup, ...]

    @property
    def features(self) -> int:
        """Number of features."""
        return self.groups[-1].stop


def row_schema(view: FeatureView) -> RowSchema:
    """Returns the schema of a view's rows."""
    features: dict[tuple[DType, int | None], list[Feature]] = {}
    for feature in view.features:
        features.setdefault((feature.dtype, feature.length), []).append(feature)
    groups: list[FeatureGroup] = []
    start = 0
    for dtype, length in sorted(features, key=_storage_place):
        together = features[dtype, length]
        codes = tuple(len(feature.values) for feature in together if feature.values is not None)
        names = tuple(feature.name for feature in together)
        groups.append(FeatureGroup(dtype, names, start, length, codes))
        start += len(names)
    return RowSchema(_schema_id(view), tuple(groups))


def _storage_place(group: tuple[DType, int | None]) -> tuple[bool, bool, int, int]:
    dtype, length = group
    is_vector = length is not None
    return dtype is DType.STRING, is_vector, STORAGE_ORDER.index(dtype), length or 0


def _schema_id(view: FeatureView) -> int:
    """Returns the BLAKE2s hash, 4 bytes, of keys and features with their types, in order.

    The keys are part of it: rows stored under keys of another form would never be found, and
    every entity would look missing. So are the lengths of vectors and the values of categories,
    which say what the bytes mean.
    """
    keys = [
        [key.name, key.type, key.granularity.total_seconds() if key.granularity else None]
        for key in view.keys
    ]
    text = json.dumps(
        [keys, [_identity(feature) for feature in view.features]], separators=(",", ":")
    )
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=4).digest(), "little")


def _identity(feature: Feature) -> list[object]:
    # Without more than there must be, so that the ids of rows stored long ago stay.
    identity: list[object] = [feature.name, feature.type]
    if feature.length is not None:
        identity.append(feature.length)
    if feature.values is not None:
        identity.append(feature.values)
    return identity
