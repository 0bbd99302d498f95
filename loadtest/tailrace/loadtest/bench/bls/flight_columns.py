"""Preparation and postprocessing of flights over whole batches, for the BLS model.

Needs numpy and the standard library only: it is imported by Triton's Python backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

_FIRST_YEAR, _LAST_YEAR = 2000, 2037
_MINUTES_OF_DAY = 24 * 60
# The first of January 1970 was a Thursday; Monday is 0.
_WEEKDAY_1970 = 3


class FlightConstants(TypedDict):
    """What the model is told of the pipeline.

    Attributes:
        carriers: in the order of their ids.
        origins: in the order of their ids.
        views: number of features of each view, in the order of the model's input.
        platt: a and b of the calibration.
        threshold: from which probability a flight is called late.
        model: name of the ONNX model.
        redis_url: where the packed rows are.
    """

    carriers: list[str]
    origins: list[str]
    views: dict[str, int]
    platt: tuple[float, float]
    threshold: float
    model: str
    redis_url: str


class FlightColumns:
    """The steps before and after the model, each over all rows at once."""

    def __init__(self, constants: FlightConstants) -> None:
        """Takes the constants of the pipeline; works out New York's offset for every hour."""
        self._carriers = _index(constants["carriers"])
        self._origins = _index(constants["origins"])
        self._missing = [
            np.full(count, np.nan, "<f4").tobytes() for count in constants["views"].values()
        ]
        self._features = sum(constants["views"].values())
        self._a, self._b = constants["platt"]
        self._threshold = constants["threshold"]
        self._first_hour, self._offsets_min = _offsets("America/New_York")

    def encode(self, text: NDArray[Any], numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Returns the six columns that ingest makes, float32[rows, 6].

        Args:
            text: bytes[rows, 4]: carrier, tail number, origin, destination.
            numbers: float64[rows, 4]: departure and arrival in microseconds since 1970, distance
                in miles, flight number.
        """
        departure_min = numbers[:, 0].astype(np.int64) // 60_000_000
        local_min = departure_min + self._offsets_min[departure_min // 60 - self._first_hour]
        encoded = np.empty((len(text), 6), np.float32)
        encoded[:, 0] = local_min % _MINUTES_OF_DAY
        encoded[:, 1] = (local_min // _MINUTES_OF_DAY + _WEEKDAY_1970) % 7
        encoded[:, 2] = [self._carriers.get(value, -1) for value in text[:, 0].tolist()]
        encoded[:, 3] = [self._origins.get(value, -1) for value in text[:, 2].tolist()]
        encoded[:, 4] = numbers[:, 2]
        block_min = (numbers[:, 1] - numbers[:, 0]) / 60e6
        encoded[:, 5] = np.where(block_min > 0, block_min, np.nan)
        return encoded

    def keys(self, text: NDArray[Any], numbers: NDArray[np.float64]) -> list[bytes]:
        """Returns the keys of all views for the first row, then for the second, and so on."""
        hours = (numbers[:, 0].astype(np.int64) // 3_600_000_000).tolist()
        keys: list[bytes] = []
        for (_, tailnum, origin, dest), hour in zip(text.tolist(), hours, strict=True):
            keys += (
                b"plain:plane:" + tailnum,
                b"plain:route:%b:%b" % (origin, dest),
                b"plain:airport:" + dest,
                b"plain:weather:%b:%d" % (origin, hour),
            )
        return keys

    def features(self, stored: Sequence[bytes | None]) -> NDArray[np.float32]:
        """Returns float32[rows, features]; NaN where nothing is stored."""
        views = len(self._missing)
        data = b"".join(
            self._missing[place % views] if row is None else row for place, row in enumerate(stored)
        )
        return np.frombuffer(data, "<f4").reshape(-1, self._features)

    def calibrated(self, probability: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns sigmoid(a * logit(p) + b)."""
        bounded = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
        odds = np.exp(self._a * np.log(bounded / (1 - bounded)) + self._b)
        return np.asarray(odds / (1 + odds))

    def late(self, probability: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Returns whether each flight is called late."""
        return probability >= self._threshold


def _index(values: Sequence[str]) -> dict[bytes, int]:
    return {value.encode(): place for place, value in enumerate(values)}


def _offsets(zone: str) -> tuple[int, NDArray[np.int64]]:
    """Returns the first hour since 1970, and the offset in minutes in each hour from it on."""
    # Offsets change at full hours of UTC.
    first = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    hours = (datetime(_LAST_YEAR, 1, 1, tzinfo=UTC) - first) // timedelta(hours=1)
    there = ZoneInfo(zone)
    offsets = [
        (first + timedelta(hours=hour)).astimezone(there).utcoffset() for hour in range(hours)
    ]
    minutes = [0 if offset is None else offset // timedelta(minutes=1) for offset in offsets]
    return int(first.timestamp()) // 3600, np.array(minutes)
