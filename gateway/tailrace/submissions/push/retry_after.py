"""`Retry-After` (RFC 9110, 10.2.3)."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 86_400.0
_MAX_DIGITS = 10


def retry_after_s(text: str | None, now_s: float) -> float | None:
    """Returns the wait that a header asks for, in seconds, or None if it cannot be read.

    Args:
        text: seconds, or a date; None if there was no header.
        now_s: the time now, in seconds since 1970.

    Returns:
        From 0 to `MAX_RETRY_AFTER_S`.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS:
        wait_s = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        # Dates of HTTP are in GMT, whether they say so or not.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        wait_s = date.timestamp() - now_s
    return bounded_wait_s(wait_s)


def bounded_wait_s(wait_s: float) -> float:
    """Returns a wait that a receiver asks for, within what is granted."""
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)
