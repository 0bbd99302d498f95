"""Ingest steps of the flight pipelines that the built-in steps cannot say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_US_PER_MINUTE = 60_000_000


def block_minutes(
    scheduled_departure: NDArray[np.int64], scheduled_arrival: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Returns the scheduled time from gate to gate, float32[rows], in minutes.

    Args:
        scheduled_departure: int64[rows], microseconds since 1970 in UTC.
        scheduled_arrival: the same of the arrival; where it is not after the departure, the
            schedule is wrong and the result is NaN.
    """
    minutes = (scheduled_arrival - scheduled_departure) / _US_PER_MINUTE
    return np.where(minutes > 0, minutes, np.nan).astype(np.float32)
