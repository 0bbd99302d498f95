"""Views of Feast: one hash per entity, of which a view's fields are read in one HMGET."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tailrace.features.codec import DecodedRows
from tailrace.features.feast.entity_key import FeastKeys
from tailrace.features.feast.feature_reader import Cells, FeatureReader
from tailrace.features.feast.field_name import feature_field, timestamp_field
from tailrace.features.feast.hash_reads import HashReads
from tailrace.features.feast.value_parser import BadValue, parse_instant
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.row_schema import FeatureGroup, row_schema
from tailrace.features.store import Command, Unreadable
from tailrace.runtime.columns import Array
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.view_source import FeastSource

Reply = Sequence[bytes | None]
"""The values of an entity's fields: features in storage order, and when they were true."""

# Stands for the timestamp of an entity under whose key something else is stored; no instant is
# written so.
_NO_HASH = b"\xffno hash"


class FeastRows:
    """How a view of Feast is read. See `RowSource`."""

    def __init__(self, view: FeatureView) -> None:
        """Works out the names of keys and fields."""
        source = view.source
        assert isinstance(source, FeastSource), "the view is one of Feast's"
        self.schema = row_schema(view)
        self._view = view.view
        self._keys = FeastKeys(view, source)
        self._names = [name for group in self.schema.groups for name in group.names]
        fields = [
            feature_field(source.feature_view, source.features.get(name, name))
            for name in self._names
        ]
        self._reads = HashReads([*fields, timestamp_field(source.feature_view)])
        by_name = {feature.name: feature for feature in view.features}
        self._readers = [FeatureReader(by_name[name]) for name in self._names]

    def read(self, keys: Sequence[str | None], at_us: NDArray[np.int64]) -> FeastRead:
        """Returns what to read."""
        return FeastRead(self._view, keys, self._keys, self._reads)

    def decode(self, rows: Sequence[Any], at_us: NDArray[np.int64]) -> DecodedRows:
        """Returns the rows as columns."""
        cells: list[Cells] = list(zip(*rows, strict=True))
        corrupt: dict[int, str] = {}
        as_of_us = _instants(cells[-1], corrupt)
        validity = np.ones((self.schema.features, len(rows)), np.bool_)
        values: list[Array] = []
        for group in self.schema.groups:
            values.append(self._group(group, cells, validity, corrupt))
        validity[:, list(corrupt)] = False
        return DecodedRows(as_of_us, tuple(values), None if validity.all() else validity, corrupt)

    def _group(
        self,
        group: FeatureGroup,
        cells: Sequence[Cells],
        validity: NDArray[np.bool_],
        corrupt: dict[int, str],
    ) -> Array:
        """Returns the features of a group, [features, rows, ...], and marks nulls and problems."""
        of_group = cells[group.start : group.stop]
        rows = len(cells[-1])
        shape = (len(group.names), rows, *group.row_shape)
        if not group.codes:
            together = self._readers[group.start].read_all(list(chain.from_iterable(of_group)))
            if together is not None:
                return together.reshape(shape)
        values = np.empty(shape, group.dtype.numpy)
        for place, column_cells in enumerate(of_group):
            number = group.start + place
            column = self._readers[number].read_column(column_cells)
            values[place] = column.values
            validity[number] = column.present
            for row, problem in column.problems.items():
                corrupt.setdefault(row, f"feature {self._names[number]!r}: {problem}")
        return values


class FeastRead:
    """Rows to read of a view of Feast. See `ViewRead`."""

    has_pointer: ClassVar[bool] = False

    def __init__(
        self,
        view: str,
        keys: Sequence[str | None],
        feast_keys: FeastKeys,
        reads: HashReads,
    ) -> None:
        """Keeps what to read; `reads` reads the fields of each entity's hash."""
        self.view = view
        self.keys = keys
        self._feast_keys = feast_keys
        self._reads = reads

    def fetch(self, names: KeyNames, pointer: Pointer | None) -> FeastFetch:
        """Returns one command per entity."""
        return FeastFetch(self.keys, self._feast_keys, self._reads)


class FeastFetch:
    """The commands that read entities of Feast. See `Fetch`."""

    keys: Sequence[str] = ()

    def __init__(
        self, wanted: Sequence[str | None], feast_keys: FeastKeys, reads: HashReads
    ) -> None:
        """Keeps the keys wanted; each entity is read once."""
        self._wanted = wanted
        self._fields = reads.fields - 1
        self._unique: list[str] = []
        commands: list[Command] = []
        for key in dict.fromkeys(wanted):
            name = None if key is None else feast_keys.encode(key)
            if key is not None and name is not None:
                self._unique.append(key)
                commands.append(reads.command(name))
        self.commands: Sequence[Command] = commands

    def rows(
        self, values: Sequence[bytes | None], replies: Sequence[Any]
    ) -> Sequence[Reply | None]:
        """Returns the fields of every key wanted, None where Feast has none of them."""
        found = [self._found(reply) for reply in replies]
        if len(found) == len(self._wanted):
            return found
        by_key: dict[str | None, Reply | None] = dict(zip(self._unique, found, strict=True))
        return [by_key.get(key) for key in self._wanted]

    def _found(self, reply: Any) -> Reply | None:
        if isinstance(reply, Unreadable):
            return [None] * self._fields + [_NO_HASH]
        if reply[-1] is not None or any(each is not None for each in reply):
            found: Reply = reply
            return found
        return None


def _instants(cells: Cells, corrupt: dict[int, str]) -> NDArray[np.int64]:
    """Returns when each row was true, int64 microseconds, and tells of those that do not say."""
    parsed: dict[bytes | None, int] = {}
    problems: dict[bytes | None, str] = {}
    # Rows that were written together have one instant.
    for data in set(cells):
        try:
            parsed[data] = _instant(data)
        except BadValue as error:
            parsed[data], problems[data] = 0, str(error)
    if problems:
        corrupt.update({row: problems[data] for row, data in enumerate(cells) if data in problems})
    return np.array([parsed[data] for data in cells], np.int64)


def _instant(data: bytes | None) -> int:
    if data is None:
        raise BadValue("it has features and no event timestamp")
    if data == _NO_HASH:
        raise BadValue("what is stored of it is no hash")
    try:
        return parse_instant(data)
    except BadValue as error:
        raise BadValue(f"event timestamp: {error}") from error
