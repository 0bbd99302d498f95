"""What can go wrong where features are computed from files."""

from __future__ import annotations


class HistoryFailed(Exception):
    """The features cannot be computed; the message says what is wrong, and in which file."""
