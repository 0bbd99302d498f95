"""Static views: one stored row per entity, under the view's current generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tailrace.features.codec import DecodedRows, RowCodec
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.row_schema import row_schema
from tailrace.features.store import Command
from tailrace.runtime.pipeline.feature_view import FeatureView


class StaticRows:
    """How a static view is read. See `RowSource`."""

    def __init__(self, view: FeatureView) -> None:
        """Works out the layout of the view's rows."""
        self._view = view.view
        self._codec = RowCodec(row_schema(view))
        self.schema = self._codec.schema

    def read(self, keys: Sequence[str | None], at_us: NDArray[np.int64]) -> StaticRead:
        """Returns what to read."""
        return StaticRead(self._view, keys)

    def decode(self, rows: Sequence[Any], at_us: NDArray[np.int64]) -> DecodedRows:
        """Returns the rows as columns."""
        return self._codec.decode(rows)


@dataclass(slots=True, eq=False)
class StaticRead:
    """Rows to read of a static view. See `ViewRead`."""

    view: str
    keys: Sequence[str | None]
    has_pointer: ClassVar[bool] = True

    def fetch(self, names: KeyNames, pointer: Pointer | None) -> StaticFetch:
        """Returns the keys of the rows, each once."""
        assert pointer is not None, "it has one"
        return StaticFetch(self.keys, names.generation(self.view, pointer.generation))


class StaticFetch:
    """The keys of a static view's rows. See `Fetch`."""

    commands: Sequence[Command] = ()

    def __init__(self, wanted: Sequence[str | None], row_prefix: str) -> None:
        """Keeps the keys wanted; `row_prefix` is what the keys of the rows begin with."""
        self._wanted = wanted
        unique: dict[str | None, None] = dict.fromkeys(wanted)
        unique.pop(None, None)
        self._unique = unique
        self.keys = [f"{row_prefix}{key}" for key in unique]

    def rows(
        self, values: Sequence[bytes | None], replies: Sequence[Any]
    ) -> Sequence[bytes | None]:
        """Returns the stored row of every key wanted."""
        if len(values) == len(self._wanted):
            return values
        by_key = dict(zip(self._unique, values, strict=True))
        return [by_key.get(key) for key in self._wanted]
