"""Makes the columns of a lookup of the stored tiles of many entities at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailrace.features.codec import DecodedRows
from tailrace.features.row_schema import RowSchema
from tailrace.features.windows.kept_windows import KeptWindows
from tailrace.features.windows.layout import (
    DAMAGED,
    FORMAT_VERSION,
    NEWEST,
    PREFIX_BYTES,
    window_layout,
)
from tailrace.features.windows.layout_group import Instants, layout_groups
from tailrace.features.windows.record_table import (
    Damaged,
    Numbers,
    StoredEntity,
    head_numbers,
    slot_numbers,
)
from tailrace.features.windows.schema import Statistic, WindowFeature, WindowSchema
from tailrace.runtime.columns import Array, DType

_DIRECT = {
    "count": Statistic.COUNT,
    "sum": Statistic.SUM,
    "mean": Statistic.SUM,
    "stddev": Statistic.M2,
    "min": Statistic.MIN,
    "max": Statistic.MAX,
    "first": Statistic.FIRST,
    "last": Statistic.LAST,
}
_BEYOND_INT64 = 2.0**63

UNREADABLE = -1
"""Stands for an estimate that could not be had, as what is stored of it is damaged."""


class WindowDecoder:
    """Decodes what is stored of entities of one view, for given instants."""

    def __init__(self, schema: WindowSchema, row_schema: RowSchema) -> None:
        """Works out where every feature comes from.

        Args:
            schema: what the store keeps.
            row_schema: the features in the order of the columns.
        """
        self._schema = schema
        self._rows = row_schema
        self._layout = window_layout(schema)
        self._groups = layout_groups(schema, self._layout)
        by_name = {feature.feature.name: feature for feature in schema.features}
        features = [by_name[name] for group in row_schema.groups for name in group.names]
        self._kept = KeptWindows(schema, features)
        distinct = [f for f in schema.features if f.aggregate.function == "distinct"]
        self._slots = np.zeros(len(features), np.intp)
        counts: dict[str, dict[int, int]] = {"mean": {}, "stddev": {}}
        from_distinct: dict[int, int] = {}
        for place, feature in enumerate(features):
            function = feature.aggregate.function
            if function == "distinct":
                from_distinct[place] = distinct.index(feature)
                continue
            self._slots[place] = self._slot(feature, _DIRECT[function])
            if function in counts:
                counts[function][place] = self._slot(feature, Statistic.COUNT)
        self._means = _pairs(counts["mean"])
        self._deviations = _pairs(counts["stddev"])
        self._distinct = _pairs(from_distinct)

    def decode(
        self, entities: Sequence[StoredEntity], distinct: Numbers, at_us: Instants
    ) -> DecodedRows:
        """Returns the features of entities at the given instants.

        Args:
            entities: what is stored of each row.
            distinct: float64 [features of function distinct, in the view's order, rows], the
                estimates, or UNREADABLE.
            at_us: int64 [rows], microseconds since 1970.

        Returns:
            The columns. `as_of_us` is the time of an entity's newest event; `absent` says where no
            event lies in any window, and `not_kept` which windows may have lost tiles.
        """
        try:
            if len(distinct) and (distinct < 0).any():
                raise Damaged("its distinct values cannot be counted")
            return self._decode_sound(entities, distinct, at_us, {})
        except Damaged:
            # Seldom: find out which rows they are, and read the others.
            corrupt: dict[int, str] = {}
            sound = list(entities)
            for row, entity in enumerate(entities):
                problem = self._problem(entity)
                if not problem and (distinct[:, row] < 0).any():
                    problem = "its distinct values cannot be counted"
                if problem:
                    corrupt[row], sound[row] = problem, self._blank()
            return self._decode_sound(sound, distinct, at_us, corrupt)

    def _decode_sound(
        self,
        entities: Sequence[StoredEntity],
        distinct: Numbers,
        at_us: Instants,
        corrupt: dict[int, str],
    ) -> DecodedRows:
        """Returns the columns. Raises Damaged."""
        heads = head_numbers(entities, self._layout)
        parts: list[Numbers] = []
        present = np.zeros(len(entities), np.bool_)
        for group in self._groups:
            numbers, has_tiles = slot_numbers(group, entities, heads, at_us)
            parts.append(numbers)
            present |= has_tiles
        slots = parts[0] if len(parts) == 1 else np.concatenate(parts)
        numbers = self._features(slots, distinct, len(entities))
        as_of_us = heads[:, NEWEST].astype(np.int64)
        not_kept = self._kept.lost(as_of_us, at_us)
        absent = ~present
        if not_kept is not None:
            not_kept.features[:, list(corrupt)] = False
            numbers[not_kept.features] = np.nan
            absent &= ~not_kept.features.any(axis=0)
        absent[list(corrupt)] = False
        numbers[:, list(corrupt)] = np.nan
        values, validity = self._typed(numbers)
        return DecodedRows(
            as_of_us=as_of_us,
            values=values,
            validity=None if validity.all() else validity,
            corrupt=corrupt,
            absent=absent if absent.any() else None,
            not_kept=not_kept,
        )

    def _features(self, slots: Numbers, distinct: Numbers, rows: int) -> Numbers:
        """Returns all features in storage order, float64 [features, rows]; NaN, inf for none."""
        numbers = slots[self._slots] if len(slots) else np.empty((len(self._slots), rows))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            places, counts = self._means
            if len(places):
                numbers[places] /= slots[counts]
            places, counts = self._deviations
            if len(places):
                n = slots[counts]
                numbers[places] = np.where(n > 1, np.sqrt(numbers[places] / (n - 1)), np.nan)
        places, estimates = self._distinct
        if len(places):
            numbers[places] = distinct[estimates]
        return numbers

    def _typed(self, numbers: Numbers) -> tuple[tuple[Array, ...], NDArray[np.bool_]]:
        """Returns the features in their types, and where there is a value that its type holds."""
        validity = np.isfinite(numbers)
        values: list[Array] = []
        for group in self._rows.groups:
            places = slice(group.start, group.stop)
            of_group: Array = numbers[places]
            if group.dtype in (DType.INT64, DType.TIMESTAMP):
                of_group = np.rint(of_group)
                validity[places] &= np.abs(of_group) < _BEYOND_INT64
            elif group.dtype is DType.FLOAT32:
                validity[places] &= np.abs(of_group) <= np.finfo(np.float32).max
            of_group = np.where(validity[places], of_group, 0.0)
            if group.dtype is DType.BOOL:
                values.append(of_group != 0)
            else:
                values.append(of_group.astype(group.dtype.numpy))
        return tuple(values), validity

    def _slot(self, feature: WindowFeature, statistic: Statistic) -> int:
        before = 0
        for group in self._groups:
            if feature.level in group.level_numbers:
                return before + group.slot(feature, statistic)
            before += group.slots
        raise AssertionError("every level is in a group")

    def _problem(self, entity: StoredEntity) -> str:
        """Returns what is wrong with an entity, or an empty string."""
        head = entity.head
        if len(head) < PREFIX_BYTES:
            return f"{len(head)} bytes, too few for a head"
        if head[0] == DAMAGED:
            return "its tiles are not as many as its head says"
        if head[0] != FORMAT_VERSION:
            return f"format version {head[0]}, expected {FORMAT_VERSION}"
        found = int.from_bytes(head[4:8], "little")
        if found != self._schema.schema_id:
            return f"schema {found:08x}, expected {self._schema.schema_id:08x}"
        if len(head) != self._layout.head_bytes:
            return f"a head of {len(head)} bytes, expected {self._layout.head_bytes}"
        at_us = np.zeros(1, np.int64)
        try:
            heads = head_numbers([entity], self._layout)
            for group in self._groups:
                slot_numbers(group, [entity], heads, at_us)
        except Damaged as error:
            return str(error)
        return ""

    def _blank(self) -> StoredEntity:
        head = np.zeros(self._layout.numbers)
        return StoredEntity(self._layout.prefix + head.tobytes(), [None] * len(self._layout.levels))


def _pairs(places: dict[int, Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the keys and the values of a table of places."""
    return np.array(list(places), np.intp), np.array(list(places.values()), np.intp)
