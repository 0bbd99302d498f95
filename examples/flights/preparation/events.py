"""What is told of flights while they happen: the events that windowed views are made of.

A departure is known when it happened, an arrival likewise. A flight that was cancelled has no
departure, one that was diverted no arrival.
"""

from __future__ import annotations

import pandas as pd

from preparation.flights import scheduled_arrivals, scheduled_departures

FIELDS = ["carrier", "tailnum", "origin", "dest", "delay"]


def departure_events(flights: pd.DataFrame) -> pd.DataFrame:
    """Returns the events of type `departure`, in the order in which they became known.

    Args:
        flights: the table `flights`.

    Returns:
        id (unique, the same each time); event_time and known_at (UTC, microseconds), which is the
        scheduled departure plus the delay, an instant before the schedule where the delay is
        negative; `FIELDS`, the delay in minutes.
    """
    left = flights[flights["dep_delay"].notna()].reset_index(drop=True)
    return _events("departure", left, scheduled_departures(left), left["dep_delay"])


def arrival_events(flights: pd.DataFrame, airports: pd.DataFrame) -> pd.DataFrame:
    """Returns the events of type `arrival`, as `departure_events` does those of departures.

    They happen, and are known, at the scheduled arrival by the destination's clock plus the delay.
    Departure plus time in the air would be half an hour too early.

    Args:
        flights: the table `flights`.
        airports: the table `airports`.
    """
    arrived = flights[flights["arr_delay"].notna()].reset_index(drop=True)
    scheduled = scheduled_arrivals(arrived, scheduled_departures(arrived), airports)
    return _events("arrival", arrived, scheduled, arrived["arr_delay"])


def _events(
    event: str,
    flights: pd.DataFrame,
    scheduled: pd.Series[pd.Timestamp],
    delay_minutes: pd.Series[float],
) -> pd.DataFrame:
    instant = (scheduled + pd.to_timedelta(delay_minutes, unit="min")).dt.as_unit("us")
    # An airline uses a flight number once a day and airport, by the date of the schedule.
    day = pd.to_datetime(flights[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    number = flights["flight"].astype(str)
    table = pd.DataFrame(
        {
            "id": event + "/" + day + "/" + flights["carrier"] + number + "/" + flights["origin"],
            "event_time": instant,
            "known_at": instant,
            "carrier": flights["carrier"],
            "tailnum": flights["tailnum"],
            "origin": flights["origin"],
            "dest": flights["dest"],
            "delay": delay_minutes.astype("float64"),
        }
    )
    return table.sort_values(["known_at", "id"], ignore_index=True)
