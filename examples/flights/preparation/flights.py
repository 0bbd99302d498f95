"""The flights of the year: what a request would have said, and what came of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

LATE_MINUTES = 15
ORIGIN_TIMEZONE = "America/New_York"
TREE_MONTHS = range(1, 8)
CALIBRATION_MONTHS = range(8, 9)
HELD_OUT_MONTHS = range(9, 13)

REQUEST_FIELDS = [
    "carrier",
    "flight_number",
    "tailnum",
    "origin",
    "dest",
    "scheduled_departure",
    "scheduled_arrival",
    "distance",
]

# Destinations that the table of airports does not have.
_CARIBBEAN = {code: "America/Puerto_Rico" for code in ("BQN", "PSE", "SJU", "STT")}


def arrived_flights(flights: pd.DataFrame, airports: pd.DataFrame) -> pd.DataFrame:
    """Returns the flights that arrived, in order of scheduled departure.

    Flights that were cancelled or diverted (2.8 %) have no delay on arrival, hence no label,
    and are left out: the model answers for flights that are going to arrive.

    Args:
        flights: the table `flights`.
        airports: the table `airports`.

    Returns:
        The columns `REQUEST_FIELDS`, with both times as UTC instants to the microsecond, and:
        month (1-12, local at the origin), departure (UTC, when it left), late (bool),
        delay_minutes, air_minutes.
    """
    arrived = flights[flights["arr_delay"].notna()].reset_index(drop=True)
    departure = scheduled_departures(arrived)
    left = departure + pd.to_timedelta(arrived["dep_delay"], unit="min")
    table = pd.DataFrame(
        {
            "carrier": arrived["carrier"],
            "flight_number": arrived["flight"],
            "tailnum": arrived["tailnum"].fillna(""),
            "origin": arrived["origin"],
            "dest": arrived["dest"],
            "scheduled_departure": departure,
            "scheduled_arrival": scheduled_arrivals(arrived, departure, airports),
            "distance": arrived["distance"].astype("float64"),
            "month": arrived["month"],
            "departure": left.dt.as_unit("us"),
            "late": arrived["arr_delay"] >= LATE_MINUTES,
            "delay_minutes": arrived["arr_delay"],
            "air_minutes": arrived["air_time"],
        }
    )
    order = ["scheduled_departure", "carrier", "flight_number", "origin"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def in_months(flights: pd.DataFrame, months: range) -> pd.Series[bool]:
    """Returns which flights were to depart in these months, bool[rows]."""
    return flights["month"].isin(list(months))


def scheduled_departures(flights: pd.DataFrame) -> pd.Series[pd.Timestamp]:
    """Returns the instants of departure in the schedule, UTC, of rows of the table `flights`."""
    # No flight is scheduled within the hours that the change of the clocks skips or repeats;
    # tz_localize would raise.
    local = pd.to_datetime(flights[["year", "month", "day", "hour", "minute"]])
    return local.dt.tz_localize(ORIGIN_TIMEZONE).dt.tz_convert("UTC").dt.as_unit("us")


def scheduled_arrivals(
    flights: pd.DataFrame, departure: pd.Series[pd.Timestamp], airports: pd.DataFrame
) -> pd.Series[pd.Timestamp]:
    """Returns the instants of arrival in the schedule, UTC.

    The table has the time of day at the destination (hhmm) and no date, so the date is that of the
    departure unless the flight would then arrive before it left.

    Args:
        flights: rows of the table `flights`.
        departure: as `scheduled_departures` returns them.
        airports: the table `airports`.
    """
    timezones = dict(zip(airports["faa"], airports["tzone"], strict=True)) | _CARIBBEAN
    clock = flights["sched_arr_time"]
    since_midnight = pd.to_timedelta(clock // 100 * 60 + clock % 100, unit="min")
    local = pd.to_datetime(flights[["year", "month", "day"]]) + since_midnight
    zones = flights["dest"].map(timezones)
    same_day = _instants(local, zones)
    # A day later by the clock, which is 23 or 25 hours when summer time begins or ends.
    next_day = _instants(local + pd.Timedelta(days=1), zones)
    return same_day.where(same_day > departure, next_day).dt.as_unit("us")


def _instants(local: pd.Series[pd.Timestamp], zones: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    instants = pd.Series(pd.NaT, index=local.index, dtype="datetime64[us, UTC]")
    for zone, rows in local.groupby(zones):
        # An hour that comes twice counts as the first, one that is skipped as its end.
        first = np.ones(len(rows), dtype=np.bool_)
        known = rows.dt.tz_localize(str(zone), ambiguous=first, nonexistent="shift_forward")
        instants[rows.index] = known.dt.tz_convert("UTC").dt.as_unit("us")
    return instants
