"""Instants as int64 microseconds since 1970-01-01T00:00:00Z."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

US_PER_S = 1_000_000
NS_PER_US = 1_000

# What google.protobuf.Timestamp may hold: 0001-01-01T00:00:00Z to the last second of 9999.
MIN_TIMESTAMP_S = -62_135_596_800
MAX_TIMESTAMP_S = 253_402_300_799
MIN_TIMESTAMP_US = MIN_TIMESTAMP_S * US_PER_S
MAX_TIMESTAMP_US = MAX_TIMESTAMP_S * US_PER_S + US_PER_S - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp_us(instant: datetime) -> int:
    """Returns an instant with a zone as microseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant_of(timestamp: int) -> datetime:
    """Returns microseconds since 1970 as an instant in UTC."""
    return _EPOCH + timedelta(microseconds=timestamp)
