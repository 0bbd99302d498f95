"""What can go wrong with a load."""

from __future__ import annotations

from collections.abc import Mapping


class LoadFailed(Exception):
    """A load did not go live; lookups go on with what was there before.

    Attributes:
        bad_rows: number of rows refused so far, by reason.
    """

    def __init__(self, message: str, bad_rows: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.bad_rows = dict(bad_rows or {})


class LoadLocked(LoadFailed):
    """Another load of the same view holds the lock, or took it away."""
