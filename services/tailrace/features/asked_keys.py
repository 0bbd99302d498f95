"""Reads the keys that a batch asks for in one view, single ones or lists of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.features.plan import KeyColumn, LookupView
from tailrace.runtime.batch import Rows
from tailrace.runtime.columns import Array, Block, DType
from tailrace.runtime.errors import InvalidBatch, InvalidField

BlockPlaces = Mapping[str, tuple[Block, int]]
"""Where each column of a batch is: its block and its place in it."""

_Mask = NDArray[np.bool_]

_FIRST_INSTANT_US = int(np.datetime64("0002-01-01", "us").astype(np.int64))
_END_OF_INSTANTS_US = int(np.datetime64("9999-01-01", "us").astype(np.int64))


@dataclass(slots=True)
class AskedKeys:
    """The keys that a batch asks for in one view.

    Attributes:
        keys: per row, or per row and element [rows x elements] where keys are lists; None where
            there is nothing to read.
        live: what of `keys` was asked for, null keys included, ascending.
        no_list: the rows whose list is null, where keys are lists.
    """

    keys: Sequence[str | None]
    live: NDArray[np.intp]
    no_list: Sequence[int] = ()


def asked_keys(
    view: LookupView, places: BlockPlaces, live: NDArray[np.intp], rows: Rows
) -> AskedKeys:
    """Returns the keys of the live rows; a row whose lists do not fit together fails.

    Raises:
        InvalidBatch: a key column is not there, or is of another type or shape.
    """
    if view.elements is not None:
        return _lists(view, view.elements, places, live, rows)
    parts: list[Array] = []
    present: _Mask | None = None
    for key in view.keys:
        values, validity = _column(places, key.name, key.dtype)
        parts.append(values)
        if validity is not None:
            present = validity if present is None else present & validity
    asked = live if present is None else live[present[live]]
    if len(asked) == len(rows):
        return AskedKeys(view.encoder.encode(parts), live)
    texts = view.encoder.encode([part[asked] for part in parts])
    return AskedKeys(_spread(texts, asked, len(rows)), live)


def instants(column: str, places: BlockPlaces, now_us: int, rows: Rows) -> Array:
    """Returns the instants that features are wanted for: int64 [rows], now where null.

    A row whose instant is not of the years 2 to 9998 fails: with days and time zones, windows
    could not be reckoned back from others.

    Raises:
        InvalidBatch: the column is not there, or is of another type or shape.
    """
    values, validity = _column(places, column, DType.TIMESTAMP)
    if validity is not None:
        values = np.where(validity, values, now_us)
    beyond = (values < _FIRST_INSTANT_US) | (values >= _END_OF_INSTANTS_US)
    if not beyond.any():
        return values
    for row in np.flatnonzero(beyond).tolist():
        found = f"an instant {values[row]} µs from 1970, where the years 2 to 9998 are allowed"
        rows.fail(row, InvalidField(found, field=column))
    return np.where(beyond, now_us, values)


def _lists(
    view: LookupView, elements: int, places: BlockPlaces, live: NDArray[np.intp], rows: Rows
) -> AskedKeys:
    count = len(rows)
    lengths = np.zeros(count, np.int64)
    present = np.ones(count, np.bool_)
    has_list = np.zeros(count, np.bool_)
    has_list[live] = True
    first: KeyColumn | None = None
    parts: list[Array] = []
    for key in view.keys:
        values, validity = _column(places, key.name, key.dtype, elements if key.is_list else None)
        if not key.is_list:
            if validity is not None:
                present &= validity
            parts.append(np.repeat(values, elements))
            continue
        parts.append(values.reshape(-1))
        counted, counted_validity = _column(places, f"{key.name}.length", DType.INT64)
        for mask in (validity, counted_validity):
            if mask is not None:
                has_list &= mask
        _check_lengths(key, counted, elements, has_list, rows)
        if first is None:
            first, lengths = key, counted
        else:
            _check_equal(first, lengths, key, counted, has_list, rows)
    no_list = [row for row in live.tolist() if not has_list[row] and row not in rows.failures]
    has_list[list(rows.failures)] = False
    wanted = (np.arange(elements) < lengths[:, np.newaxis]) & has_list[:, np.newaxis]
    asked = np.flatnonzero(wanted & present[:, np.newaxis])
    texts = view.encoder.encode([part[asked] for part in parts])
    keys = _spread(texts, asked, count * elements)
    return AskedKeys(keys, np.flatnonzero(wanted), no_list)


def _column(
    places: BlockPlaces, name: str, dtype: DType, elements: int | None = None
) -> tuple[Array, _Mask | None]:
    block, place = places.get(name, (None, 0))
    shape = () if elements is None else (elements,)
    if block is None or block.dtype is not dtype or block.values.shape[2:] != shape:
        lists = "" if elements is None else f" with lists of {elements} elements"
        raise InvalidBatch(
            f"no key column {name!r} of type {dtype.value}{lists}", field="batch.blocks"
        )
    return block.values[place], None if block.validity is None else block.validity[place]


def _spread(texts: Sequence[str], places: NDArray[np.intp], size: int) -> Sequence[str | None]:
    if len(texts) == size:
        return texts
    keys: list[str | None] = [None] * size
    for place, text in zip(places.tolist(), texts, strict=True):
        keys[place] = text
    return keys


def _check_lengths(
    key: KeyColumn, lengths: Array, elements: int, has_list: _Mask, rows: Rows
) -> None:
    bad = has_list & ((lengths < 0) | (lengths > elements))
    for row in np.flatnonzero(bad).tolist():
        found = f"a list of {lengths[row]} elements, where 0 to {elements} are allowed"
        rows.fail(row, InvalidField(found, field=key.field))


def _check_equal(
    first: KeyColumn,
    first_lengths: Array,
    key: KeyColumn,
    lengths: Array,
    has_list: _Mask,
    rows: Rows,
) -> None:
    for row in np.flatnonzero(has_list & (lengths != first_lengths)).tolist():
        found = (
            f"a list of {lengths[row]} elements, where {first.field!r}, which is taken together "
            f"with it, has {first_lengths[row]}"
        )
        rows.fail(row, InvalidField(found, field=key.field))
