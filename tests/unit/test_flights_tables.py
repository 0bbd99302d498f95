"""The flight example's tables: times, labels and views."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from preparation.flights import arrived_flights
from preparation.nycflights import read_table
from preparation.views import airport_view, plane_view, route_view, weather_view

AIRPORTS = pd.DataFrame(
    {"faa": ["LAX", "BOS"], "tzone": ["America/Los_Angeles", "America/New_York"]}
)


def flight(**changes: Any) -> dict[str, Any]:
    row = {
        "year": 2013, "month": 7, "day": 4, "hour": 9, "minute": 30, "sched_arr_time": 1230,
        "carrier": "AA", "flight": 1, "tailnum": "N1", "origin": "JFK", "dest": "LAX",
        "distance": 2475, "dep_delay": 9.0, "arr_delay": 14.0, "air_time": 330.0,
    }  # fmt: skip
    return {**row, **changes}


def arrived(*rows: dict[str, Any]) -> pd.DataFrame:
    return arrived_flights(pd.DataFrame(rows), AIRPORTS)


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_times_are_instants_by_the_clock_of_each_airport() -> None:
    row = arrived(flight()).iloc[0]
    assert row["scheduled_departure"] == utc("2013-07-04 13:30")
    assert row["scheduled_arrival"] == utc("2013-07-04 19:30")


def test_winter_departure_is_an_hour_later_in_utc() -> None:
    row = arrived(flight(month=1)).iloc[0]
    assert row["scheduled_departure"] == utc("2013-01-04 14:30")


def test_arrival_before_departure_is_on_the_next_day() -> None:
    row = arrived(flight(hour=23, minute=0, sched_arr_time=13, dest="BOS")).iloc[0]
    assert row["scheduled_arrival"] - row["scheduled_departure"] == pd.Timedelta(minutes=73)


@pytest.mark.parametrize(
    ("day", "arrival"),
    [
        # The clocks change after midnight: not yet at 00:30.
        ((2013, 3, 9), "2013-03-10 05:30"),
        ((2013, 11, 2), "2013-11-03 04:30"),
        # Of the evening after, when the clocks have changed already.
        ((2013, 11, 3), "2013-11-04 05:30"),
        ((2013, 3, 10), "2013-03-11 04:30"),
    ],
)
def test_arrival_on_the_next_day_goes_by_that_days_clock(
    day: tuple[int, int, int], arrival: str
) -> None:
    year, month, date = day
    late = {"year": year, "month": month, "day": date, "hour": 23, "minute": 0}
    row = arrived(flight(**late, sched_arr_time=30, dest="BOS")).iloc[0]
    assert row["scheduled_arrival"] == utc(arrival)


@pytest.mark.parametrize(
    ("day", "clock", "arrival"),
    [
        # 01:30 comes twice in the night when summer time ends: the first.
        ((2013, 11, 2), 130, "2013-11-03 05:30"),
        # 02:30 does not come in the night when it begins.
        ((2013, 3, 9), 230, "2013-03-10 07:00"),
    ],
)
def test_arrival_in_the_hour_of_the_change(
    day: tuple[int, int, int], clock: int, arrival: str
) -> None:
    year, month, date = day
    late = {"year": year, "month": month, "day": date, "hour": 23, "minute": 0}
    row = arrived(flight(**late, sched_arr_time=clock, dest="BOS")).iloc[0]
    assert row["scheduled_arrival"] == utc(arrival)


def test_airports_that_the_data_lacks_have_their_time_zone() -> None:
    row = arrived(flight(dest="SJU", sched_arr_time=1330)).iloc[0]
    assert row["scheduled_arrival"] == utc("2013-07-04 17:30")


@pytest.mark.parametrize(("delay", "late"), [(14.0, False), (15.0, True)])
def test_late_is_fifteen_minutes_or_more(delay: float, late: bool) -> None:
    assert arrived(flight(arr_delay=delay))["late"].tolist() == [late]


def test_flights_that_did_not_arrive_are_left_out() -> None:
    assert len(arrived(flight(arr_delay=float("nan")), flight())) == 1


def test_weather_of_an_hour_is_the_observation_of_the_hour_before() -> None:
    table = read_table("weather")
    view = weather_view(table)
    observed = table[(table["origin"] == "JFK") & (table["time_hour"] == "2013-03-09T17:00:00Z")]
    served = view[(view["origin"] == "JFK") & (view["hour"] == utc("2013-03-09 18:00"))]
    assert served["temperature"].item() == pytest.approx(observed["temp"].item())


def test_recent_rain_counts_hours_and_not_rows() -> None:
    hours = ["2013-01-01T10:00:00Z", "2013-01-01T11:00:00Z", "2013-01-01T14:00:00Z"]
    table = read_table("weather").head(3).assign(origin="JFK", time_hour=hours, precip=[1, 2, 4])
    view = weather_view(table)
    assert view["precipitation_3h"].tolist() == [1, 3, 4]
    assert view["precipitation_6h"].tolist() == [1, 3, 7]


def test_route_view_shrinks_the_late_share_of_rare_routes() -> None:
    often = [flight(arr_delay=0.0, dest="BOS", sched_arr_time=1040) for _ in range(950)]
    rare = [flight(arr_delay=60.0)] * 50
    routes = route_view(arrived(*often, *rare)).set_index("dest")
    assert routes.loc["LAX", "flights"] == 50
    assert routes.loc["LAX", "late_share"] == pytest.approx((50 + 50 * 0.05) / 100)
    assert routes.loc["BOS", "mean_block"] == 70


def test_views_have_one_row_per_entity_in_float32() -> None:
    planes, airports = plane_view(read_table("planes")), airport_view(read_table("airports"))
    assert planes["tailnum"].is_unique
    assert airports["dest"].is_unique
    features = pd.concat([planes.drop(columns="tailnum"), airports.drop(columns="dest")])
    assert {str(dtype) for dtype in features.dtypes} == {"float32"}


def test_views_refuse_an_entity_that_occurs_twice() -> None:
    planes = read_table("planes").head(1)
    with pytest.raises(ValueError, match="not unique"):
        plane_view(pd.concat([planes, planes]))


def test_unknown_table_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match="no table 'trains'"):
        read_table("trains")
