"""How the rows of one view are read and decoded: one implementation per kind of view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tailrace.features.codec import DecodedRows
from tailrace.features.feast.feast_rows import FeastRows
from tailrace.features.row_schema import RowSchema
from tailrace.features.static_rows import StaticRows
from tailrace.features.store import ViewRead
from tailrace.features.windows.window_rows import WindowRows
from tailrace.runtime.pipeline.feature_view import FeatureView


class RowSource(Protocol):
    """Reads and decodes the rows of one view; made once, when a pipeline is loaded."""

    @property
    def schema(self) -> RowSchema:
        """The features that decoding returns, and the id that the view's pointer names."""
        ...

    def read(self, keys: Sequence[str | None], at_us: NDArray[np.int64]) -> ViewRead:
        """Returns what to read.

        Args:
            keys: key of each row; None where nothing is to be read.
            at_us: int64 [rows], the instants that the features are wanted for, microseconds
                since 1970.
        """
        ...

    def decode(self, rows: Sequence[Any], at_us: NDArray[np.int64]) -> DecodedRows:
        """Returns rows that were found as columns.

        Args:
            rows: as `Fetch.rows` returned them, none of them None.
            at_us: int64 [rows], the instants of these rows.
        """
        ...


def row_source(view: FeatureView) -> RowSource:
    """Returns how a view is read."""
    if view.kind == "windowed":
        return WindowRows(view)
    if view.kind == "feast":
        return FeastRows(view)
    return StaticRows(view)
