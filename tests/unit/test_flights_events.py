"""The flight example's events: when they happen, who has one, what they are called."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from preparation.data_set import PIPELINES
from preparation.events import FIELDS, arrival_events, departure_events
from preparation.feature_matrix import load_example
from preparation.nycflights import read_table

AIRPORTS = pd.DataFrame({"faa": ["LAX"], "tzone": ["America/Los_Angeles"]})
NAN = float("nan")


def flights(*changes: dict[str, Any]) -> pd.DataFrame:
    row = {
        "year": 2013, "month": 7, "day": 4, "hour": 9, "minute": 30, "sched_arr_time": 1230,
        "carrier": "AA", "flight": 1, "tailnum": "N1", "origin": "JFK", "dest": "LAX",
        "dep_delay": 10.0, "arr_delay": -5.0, "air_time": 330.0,
    }  # fmt: skip
    return pd.DataFrame([{**row, **change} for change in changes])


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


@pytest.mark.parametrize(
    ("delay", "instant"), [(10.0, "2013-07-04 13:40"), (-5.0, "2013-07-04 13:25")]
)
def test_departure_is_known_when_it_happens_also_before_the_schedule(
    delay: float, instant: str
) -> None:
    event = departure_events(flights({"dep_delay": delay})).iloc[0]
    assert (event["event_time"], event["known_at"]) == (utc(instant), utc(instant))
    assert event["delay"] == delay


def test_arrival_goes_by_the_clock_of_the_destination_and_not_by_the_time_in_the_air() -> None:
    event = arrival_events(flights({}), AIRPORTS).iloc[0]
    assert event["event_time"] == event["known_at"] == utc("2013-07-04 19:25")
    in_the_air = utc("2013-07-04 13:40") + pd.Timedelta(minutes=330)
    assert event["known_at"] - in_the_air == pd.Timedelta(minutes=15)


def test_cancelled_flights_have_no_events_and_diverted_ones_no_arrival() -> None:
    cancelled = {"flight": 2, "dep_delay": NAN, "arr_delay": NAN}
    diverted = {"flight": 3, "arr_delay": NAN}
    table = flights({}, cancelled, diverted)
    assert departure_events(table)["id"].tolist() == [
        "departure/2013-07-04/AA1/JFK",
        "departure/2013-07-04/AA3/JFK",
    ]
    assert arrival_events(table, AIRPORTS)["id"].tolist() == ["arrival/2013-07-04/AA1/JFK"]


def test_events_come_in_the_order_in_which_they_became_known() -> None:
    table = flights({"dep_delay": 90.0}, {"flight": 9, "dep_delay": 5.0}, {"flight": 5})
    ids = departure_events(table)["id"].tolist()
    assert [name.split("/")[2] for name in ids] == ["AA9", "AA5", "AA1"]


def test_events_of_the_year_are_complete_and_each_has_its_own_id() -> None:
    table, airports = read_table("flights"), read_table("airports")
    departures, arrivals = departure_events(table), arrival_events(table, airports)
    assert (len(departures), len(arrivals)) == (328_521, 327_346)
    ids = pd.concat([departures["id"], arrivals["id"]])
    assert ids.is_unique
    for events in (departures, arrivals):
        assert events["known_at"].is_monotonic_increasing
        assert not events.isna().any().any()
    # Nobody arrives before having left: way to the runway, time in the air, way to the gate.
    left = departures.set_index(departures["id"].str.removeprefix("departure"))["event_time"]
    came = arrivals.set_index(arrivals["id"].str.removeprefix("arrival"))["event_time"]
    assert ((came - left.reindex(came.index)) > pd.Timedelta(minutes=20)).all()


def test_events_hold_what_their_types_declare() -> None:
    types = load_example(PIPELINES).events
    assert {name: list(event.fields) for name, event in types.items()} == {
        "departure": FIELDS,
        "arrival": FIELDS,
    }
