"""Flights that have no part in the models: requests to send, with what came of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preparation.flights import ORIGIN_TIMEZONE, REQUEST_FIELDS

SAMPLE_ROWS = 10_000

# Two working days like any other: chosen by the calendar, before anything was known of them.
REPLAY_DAYS = ("2013-12-03", "2013-12-04")


def held_out_flights(
    flights: pd.DataFrame, expected: Mapping[str, NDArray[np.float64]]
) -> pd.DataFrame:
    """Returns flights with what the models say of them, in order of scheduled departure.

    Args:
        flights: the flights held out, as `arrived_flights` returns them.
        expected: float64[flights] by column name: what trained trees say of each, which served
            models and pipelines must equal to 1e-5.

    Returns:
        `REQUEST_FIELDS`; late (bool), what happened; the columns of `expected`.
    """
    table: pd.DataFrame = flights[[*REQUEST_FIELDS, "late"]].reset_index(drop=True)
    for name, values in expected.items():
        table[name] = values
    return table


def sample_of(held_out: pd.DataFrame) -> pd.DataFrame:
    """Returns `SAMPLE_ROWS` of the flights, drawn evenly, in their order."""
    generator = np.random.default_rng(7)
    places = np.sort(generator.choice(len(held_out), SAMPLE_ROWS, replace=False))
    return held_out.iloc[places].reset_index(drop=True)


def replayed_days(held_out: pd.DataFrame) -> pd.DataFrame:
    """Returns all flights that were due to leave on `REPLAY_DAYS`, in their order."""
    local = held_out["scheduled_departure"].dt.tz_convert(ORIGIN_TIMEZONE)
    of_days = local.dt.strftime("%Y-%m-%d").isin(REPLAY_DAYS)
    replayed: pd.DataFrame = held_out[of_days].reset_index(drop=True)
    return replayed
