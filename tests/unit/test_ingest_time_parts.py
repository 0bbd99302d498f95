"""time_parts against zoneinfo, instant by instant."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.ingest.offline import ingest_columns
from tailrace.ingest.steps.time_parts import PART_MAXIMUM, TimeParts
from tailrace.ingest.steps.zone_offsets import zone_offsets
from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.ingest_steps import TIME_PARTS
from tailrace.runtime.steps.step_table import StepColumn, StepTable
from tailrace.runtime.timestamps import (
    MAX_TIMESTAMP_US,
    MIN_TIMESTAMP_US,
    instant_of,
    timestamp_us,
)
from tests.support.written_pipeline import written_pipeline

ZONES = [
    "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe",
    "Africa/Casablanca", "Pacific/Apia", "America/Sao_Paulo", "UTC",
]  # fmt: skip
EXPECTED: dict[str, Callable[[datetime], int]] = {
    "minute": lambda t: t.minute,
    "hour": lambda t: t.hour,
    "minute_of_day": lambda t: t.hour * 60 + t.minute,
    "day_of_week": lambda t: t.weekday(),
    "is_weekend": lambda t: t.weekday() >= 5,
    "day": lambda t: t.day,
    "day_of_year": lambda t: t.timetuple().tm_yday,
    "week": lambda t: t.isocalendar().week,
    "month": lambda t: t.month,
    "quarter": lambda t: (t.month + 2) // 3,
    "year": lambda t: t.year,
}


def parts_of(instants_us: Any, zone: Any, dtype: Any = DType.INT64) -> Any:
    table = StepTable(len(instants_us), np.arange(len(instants_us)))
    table.columns["t"] = StepColumn(DType.TIMESTAMP, np.array(instants_us, dtype=np.int64))
    outputs = tuple((part, part) for part in EXPECTED)
    TimeParts("t", outputs, dtype, zone_offsets(zone)).run(table)
    return {name: table.columns[name].values.tolist() for name in EXPECTED}


def test_every_part_that_a_file_may_name_is_there() -> None:
    assert set(EXPECTED) == set(TIME_PARTS) == set(PART_MAXIMUM)


instants = st.datetimes(datetime(1970, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))


@pytest.mark.parametrize("zone", ZONES)
@settings(deadline=None)
@given(sample=st.lists(instants, min_size=1, max_size=20))
def test_parts_equal_those_of_zoneinfo(zone: Any, sample: Any) -> None:
    found = parts_of([timestamp_us(instant) for instant in sample], zone)
    for row, instant in enumerate(sample):
        local = instant.astimezone(ZoneInfo(zone))
        for part, expected in EXPECTED.items():
            assert found[part][row] == expected(local), (part, local)


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("America/New_York", datetime(2013, 3, 10, 7, tzinfo=UTC)),
        ("America/New_York", datetime(2013, 11, 3, 6, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2024, 3, 31, 1, tzinfo=UTC)),
        # Half an hour of summer time.
        ("Australia/Lord_Howe", datetime(2024, 4, 6, 15, tzinfo=UTC)),
        # A day that was left out.
        ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ],
)
def test_parts_change_at_the_very_microsecond_of_a_change(zone: Any, change: Any) -> None:
    moments = [change + timedelta(microseconds=step) for step in (-1, 0, 1)]
    found = parts_of([timestamp_us(moment) for moment in moments], zone)
    offsets = set()
    for row, moment in enumerate(moments):
        local = moment.astimezone(ZoneInfo(zone))
        offsets.add(local.utcoffset())
        assert found["minute_of_day"][row] == local.hour * 60 + local.minute
        assert found["day"][row] == local.day
    assert len(offsets) == 2


@settings(deadline=None)
@given(instant=st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)))
def test_years_outside_the_table_are_right_too(instant: Any) -> None:
    found = parts_of([timestamp_us(instant)], "America/New_York")
    local = instant.astimezone(ZoneInfo("America/New_York"))
    assert [found[part][0] for part in EXPECTED] == [get(local) for get in EXPECTED.values()]


@pytest.mark.parametrize("extreme", [MIN_TIMESTAMP_US, MAX_TIMESTAMP_US])
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_the_first_and_last_instants_do_not_fail(extreme: Any, zone: Any) -> None:
    assert 0 <= parts_of([extreme], zone)["minute_of_day"][0] < 1440


def test_all_zones_agree_with_zoneinfo_at_their_changes() -> None:
    for zone in ZONES:
        offsets = zone_offsets(zone)
        for change in offsets._changes_us.tolist():
            for moment in (change - 1, change):
                local = instant_of(moment).astimezone(ZoneInfo(zone))
                found = offsets.offsets_us(np.array([moment]))[0]
                assert timedelta(microseconds=int(found)) == local.utcoffset()


def test_parts_are_named_with_the_prefix_and_nulls_stay_null(tmp_path: Path) -> None:
    step = {
        "step": "time_parts", "input": "t", "parts": ["hour", "day_of_week"], "prefix": "dep_",
        "timezone": "America/New_York",
    }  # fmt: skip
    fields = {"t": {"type": "timestamp"}}
    pipeline = written_pipeline(tmp_path, fields, [step], ["dep_hour", "dep_day_of_week"])
    # 2013-07-01T10:00Z is a Monday, 06:00 in New York.
    instant = timestamp_us(datetime(2013, 7, 1, 10, tzinfo=UTC))
    columns: Any = ingest_columns(pipeline, {"t": [instant, None]})
    assert columns["dep_hour"].tolist()[0] == 6
    assert columns["dep_day_of_week"].tolist()[0] == 0
    assert math.isnan(columns["dep_hour"][1])
    assert columns.validity("dep_hour").tolist() == [True, False]


def test_date_parts_is_another_name_of_the_step(tmp_path: Path) -> None:
    step = {"step": "date_parts", "input": "t", "parts": ["year"], "dtype": "int64"}
    pipeline = written_pipeline(tmp_path, {"t": {"type": "timestamp"}}, [step], ["year"])
    assert ingest_columns(pipeline, {"t": np.array(["2013-01-01"], "M8[s]")})["year"] == [2013]
