"""How a view was found for a row."""

from __future__ import annotations

import enum


class FeatureState(enum.IntEnum):
    """How a view was found for a row; the numbers of `tailrace.v1.FeatureState`."""

    UNSPECIFIED = 0
    FRESH = 1
    STALE = 2
    MISSING = 3
    NOT_KEPT = 4
