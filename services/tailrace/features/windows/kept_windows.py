"""Which windows may no longer be kept whole, as tiles are cut off behind an entity's newest event.

The rule does not ask what has really been cut off, which depends on when events came: a window is
kept if it begins with one of the `Level.retained_tiles` of its tile size, counted back from the one
that holds the newest event. That is so for all instants within `WindowSchema.reach_us`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tailrace.features.codec import NotKept
from tailrace.features.windows.schema import Level, WindowFeature, WindowSchema
from tailrace.features.windows.tiles import Instants, earliest_instants, first_tiles, tiles_at
from tailrace.runtime.pipeline.aggregate import Aggregate


class KeptWindows:
    """Tells the windows of one view that may have lost tiles."""

    def __init__(self, schema: WindowSchema, features: Sequence[WindowFeature]) -> None:
        """Works out which features share a window.

        Args:
            schema: of the view.
            features: in storage order.
        """
        self._reach_us = schema.reach_us
        self._features = len(features)
        windows: dict[object, tuple[Level, Aggregate, list[int]]] = {}
        for place, feature in enumerate(features):
            aggregate = feature.aggregate
            key = feature.level, aggregate.window, aggregate.timezone
            windows.setdefault(key, (schema.levels[feature.level], aggregate, []))[2].append(place)
        self._windows = list(windows.values())

    def lost(self, newest_us: NDArray[np.int64], at_us: Instants) -> NotKept | None:
        """Returns which features of which rows cannot be told; None if all can.

        Args:
            newest_us: int64 [rows], the times of the entities' newest events.
            at_us: int64 [rows], the instants at which windows end.
        """
        far = at_us < newest_us - self._reach_us
        if not far.any():
            return None
        lost = np.zeros((self._features, len(at_us)), np.bool_)
        whole_us = np.full(len(at_us), np.iinfo(np.int64).min)
        for level, aggregate, places in self._windows:
            kept_from = tiles_at(newest_us, level.tile_us) - level.retained_tiles + 1
            lost[places] = far & (first_tiles(aggregate, level.tile_us, at_us) < kept_from)
            of_window = earliest_instants(aggregate, level.tile_us, kept_from)
            whole_us = np.maximum(whole_us, of_window)
        if not lost.any():
            return None
        return NotKept(lost, np.minimum(whole_us, newest_us - self._reach_us))
