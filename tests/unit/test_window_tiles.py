"""Edges of windows: midnights of time zones, and the earliest instants of windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.features.windows.tiles import earliest_instants, first_tiles, midnights
from tailrace.runtime.pipeline.aggregate import Aggregate

HOUR_US = 3_600_000_000
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "America/Sao_Paulo", "America/Havana",
         "Australia/Lord_Howe", "Pacific/Apia")  # fmt: skip
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


def us(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize("zone", ZONES)
def test_the_first_and_the_last_instants_have_a_midnight(zone: str) -> None:
    instants = np.array([us(EARLIEST), us(LATEST)], np.int64)
    found = midnights(zone, instants)
    assert (np.abs(found - instants) <= 72 * HOUR_US).all()


@given(
    start_us=st.integers(
        us(datetime(1999, 1, 1, tzinfo=UTC)), us(datetime(2030, 1, 1, tzinfo=UTC))
    ),
    tile_us=st.sampled_from([60_000_000, 900_000_000, HOUR_US, 24 * HOUR_US]),
    zone=st.sampled_from([None, *ZONES]),
)
def test_the_earliest_instant_is_the_first_whose_window_does_not_begin_before(
    start_us: int, tile_us: int, zone: str | None
) -> None:
    window = {"window": "3h"} if zone is None else {"window": "since_midnight", "timezone": zone}
    aggregate = Aggregate.model_validate({"function": "count", **window})
    tile = start_us // tile_us
    (earliest_us,) = earliest_instants(aggregate, tile_us, np.array([tile], np.int64)).tolist()
    around = np.array([earliest_us - 1, earliest_us], np.int64)
    before, at = first_tiles(aggregate, tile_us, around).tolist()
    assert before < tile <= at
