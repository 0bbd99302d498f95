r"""The canonical text of an entity's key: the last part of a stored row's name.

One text per key, and no text for two keys of a view: the parts stand in the order in which the
view declares them, joined by `|`. In a key of several parts a `\` or `|` inside a string is
written `\\` or `\|`. Integers are decimal, booleans `0` or `1`, instants decimal microseconds
since 1970-01-01T00:00:00Z, floored to the granularity that the view gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from tailrace.runtime.columns import Array
from tailrace.runtime.pipeline.feature_view import EntityKey

SEPARATOR = "|"

_Texts = Callable[[Array], list[str]]


class KeyEncoder:
    """Turns the key columns of one view into texts."""

    def __init__(self, keys: Sequence[EntityKey]) -> None:
        """Keeps how to write each part."""
        self._parts = [_part_writer(key, composite=len(keys) > 1) for key in keys]

    def encode(self, columns: Sequence[Array]) -> list[str]:
        """Returns the key of every row.

        Args:
            columns: one per part, each of shape [rows] and of the part's type.
        """
        parts = [write(column) for write, column in zip(self._parts, columns, strict=True)]
        if len(parts) == 1:
            return parts[0]
        return list(map(SEPARATOR.join, zip(*parts, strict=True)))


def floor_instants(instants_us: NDArray[np.int64], granularity_us: int) -> NDArray[np.int64]:
    """Returns the instants, each moved back to the nearest multiple of the granularity."""
    floored: NDArray[np.int64] = instants_us // granularity_us * granularity_us
    return floored


def _part_writer(key: EntityKey, *, composite: bool) -> _Texts:
    if key.type == "string":
        return _write_escaped if composite else _write_strings
    if key.type == "bool":
        return _write_bools
    if key.granularity is None:
        return _write_integers
    granularity_us = key.granularity // timedelta(microseconds=1)
    return lambda column: _write_integers(floor_instants(column, granularity_us))


def _write_strings(column: Array) -> list[str]:
    strings: list[str] = column.tolist()
    return strings


def _write_escaped(column: Array) -> list[str]:
    strings: list[str] = column.tolist()
    together = "".join(strings)
    if "\\" in together or SEPARATOR in together:
        return [text.replace("\\", "\\\\").replace(SEPARATOR, "\\|") for text in strings]
    return strings


def _write_integers(column: Array) -> list[str]:
    return list(map(str, column.tolist()))


def _write_bools(column: Array) -> list[str]:
    return ["1" if value else "0" for value in column.tolist()]
