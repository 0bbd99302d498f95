"""The static feature views, as tables of key and feature columns."""

from __future__ import annotations

import pandas as pd

# How many flights the mean over all routes weighs in the late share of one route, so that a
# route of few flights says little.
_PRIOR_FLIGHTS = 50.0

_WEATHER = {
    "temp": "temperature",
    "dewp": "dew_point",
    "humid": "humidity",
    "wind_dir": "wind_direction",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precip": "precipitation",
    "pressure": "pressure",
    "visib": "visibility",
}


def plane_view(planes: pd.DataFrame) -> pd.DataFrame:
    """Returns the view `plane` from the table `planes`: one row per tail number."""
    return _typed(planes, ["tailnum"], ["year", "seats", "engines"])


def airport_view(airports: pd.DataFrame) -> pd.DataFrame:
    """Returns the view `airport` from the table `airports`: one row per airport."""
    names = {"faa": "dest", "lat": "latitude", "lon": "longitude", "alt": "altitude"}
    renamed = airports.rename(columns={**names, "tz": "utc_offset"})
    return _typed(renamed, ["dest"], ["latitude", "longitude", "altitude", "utc_offset"])


def route_view(flights: pd.DataFrame) -> pd.DataFrame:
    """Returns the view `route`: one row per origin and destination.

    Args:
        flights: the flights to count, as `arrived_flights` returns them. They must be flights
            that the trees are trained on and no later ones, or the model is told the answers.
    """
    block = flights["scheduled_arrival"] - flights["scheduled_departure"]
    timed = flights.assign(block_minutes=block.dt.total_seconds() / 60)
    routes = timed.groupby(["origin", "dest"], as_index=False).agg(
        flights=("late", "size"),
        late=("late", "sum"),
        mean_delay=("delay_minutes", "mean"),
        mean_block=("block_minutes", "mean"),
        mean_air=("air_minutes", "mean"),
    )
    prior = _PRIOR_FLIGHTS * flights["late"].mean()
    routes["late_share"] = (routes["late"] + prior) / (routes["flights"] + _PRIOR_FLIGHTS)
    features = ["flights", "late_share", "mean_delay", "mean_block", "mean_air"]
    return _typed(routes, ["origin", "dest"], features)


def weather_view(weather: pd.DataFrame) -> pd.DataFrame:
    """Returns the view `weather`: one row per origin and hour.

    The row of an hour holds the observation dated one hour earlier, so that every departure
    within the hour finds weather that was known when it was due.

    Args:
        weather: the table `weather`.
    """
    named = weather.rename(columns=_WEATHER)
    named["hour"] = pd.to_datetime(named["time_hour"], utc=True).dt.as_unit("us")
    by_origin = [_with_recent(rows) for _, rows in named.groupby("origin")]
    view = pd.concat(by_origin, ignore_index=True)
    view["hour"] = (view["hour"] + pd.Timedelta(hours=1)).dt.as_unit("us")
    recent = ["precipitation_3h", "precipitation_6h", "visibility_3h"]
    return _typed(view, ["origin", "hour"], [*_WEATHER.values(), *recent])


def _with_recent(weather: pd.DataFrame) -> pd.DataFrame:
    # Windows are of hours, not of rows: some hours have no observation.
    timed = weather.sort_values("hour").set_index("hour")
    for hours in (3, 6):
        timed[f"precipitation_{hours}h"] = timed["precipitation"].rolling(f"{hours}h").sum()
    timed["visibility_3h"] = timed["visibility"].rolling("3h").min()
    return timed.reset_index()


def _typed(table: pd.DataFrame, keys: list[str], features: list[str]) -> pd.DataFrame:
    if table.duplicated(keys).any():
        raise ValueError(f"keys {keys} are not unique")
    return table[keys + features].astype(dict.fromkeys(features, "float32"))
