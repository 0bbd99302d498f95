"""Counts of what lookups found, per view."""

from __future__ import annotations

from prometheus_client import Counter

from tailrace.runtime import telemetry_names as names

_ROWS = Counter(
    names.FEATURE_ROWS_TOTAL,
    "Rows looked up in a view, by what was found: fresh, stale, missing (no such entity, or a "
    "null key), expired (older than the view's ttl), not_loaded (the view was never loaded), "
    "corrupt. Elements of lists of keys count one by one.",
    ["view", "state"],
)
_NULLS = Counter(
    names.FEATURE_NULLS_TOTAL,
    "Features that were null in a stored row; their defaults stood in.",
    ["view"],
)


class RowCounts:
    """Counters of one view; the names are resolved once, as that costs more than to count."""

    def __init__(self, view: str) -> None:
        """Makes the counters of a view appear, at zero if they are new."""
        self.fresh = _ROWS.labels(view, "fresh")
        self.stale = _ROWS.labels(view, "stale")
        self.missing = _ROWS.labels(view, "missing")
        self.expired = _ROWS.labels(view, "expired")
        self.not_loaded = _ROWS.labels(view, "not_loaded")
        self.corrupt = _ROWS.labels(view, "corrupt")
        self.nulls = _NULLS.labels(view)
