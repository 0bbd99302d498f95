"""What can go wrong where features are computed from files."""

from __future__ import annotations


class HistoryFailed(Exception):
    """The features cannot be computed; the message says what is wrong, and in which file."""


class ColumnMissing(HistoryFailed):
    """There is no such column."""


class KeyColumnMissing(ColumnMissing):
    """The instants have no column for a key of a view.

    Attributes:
        key: the key.
    """

    def __init__(self, message: str, key: str) -> None:
        self.key = key
        super().__init__(message)


class InstantColumnMissing(ColumnMissing):
    """The instants have no column that says when."""
