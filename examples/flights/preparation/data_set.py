"""Everything that is read and derived before a model is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preparation.events import arrival_events, departure_events
from preparation.feature_matrix import Matrix, feature_matrix, model_columns
from preparation.flights import (
    CALIBRATION_MONTHS,
    HELD_OUT_MONTHS,
    REQUEST_FIELDS,
    TREE_MONTHS,
    arrived_flights,
    in_months,
)
from preparation.nycflights import read_table
from preparation.progress import Progress
from preparation.views import airport_view, plane_view, route_view, weather_view
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.plan import Pipeline

PIPELINES = Path(__file__).parent.parent / "pipelines"
PIPELINE = "flight-delay"
STATIC_PIPELINE = "flight-delay-static"


@dataclass(frozen=True, slots=True)
class Tables:
    """What all pipelines are made from.

    Attributes:
        flights: the flights that arrived, as `arrived_flights` returns them.
        views: the static views by name.
        events: the events by type, as `preparation.events` returns them.
    """

    flights: pd.DataFrame
    views: dict[str, pd.DataFrame]
    events: dict[str, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class DataSet:
    """The year's flights as one pipeline's model sees them.

    Attributes:
        pipeline: the pipeline.
        flights: the flights that arrived, as `arrived_flights` returns them.
        features: float32[flights, columns].
        columns: names of the features.
    """

    pipeline: Pipeline
    flights: pd.DataFrame
    features: Matrix
    columns: list[str]

    @property
    def late(self) -> NDArray[np.bool_]:
        """What happened, bool[flights]."""
        return self.flights["late"].to_numpy(dtype=np.bool_)

    @property
    def tree_rows(self) -> NDArray[np.bool_]:
        """The flights that the trees are trained on, bool[flights]."""
        return in_months(self.flights, TREE_MONTHS).to_numpy()

    @property
    def calibration_rows(self) -> NDArray[np.bool_]:
        """The flights that the calibration is fitted on, bool[flights]."""
        return in_months(self.flights, CALIBRATION_MONTHS).to_numpy()

    @property
    def held_out_rows(self) -> NDArray[np.bool_]:
        """The flights that have no part in the model, bool[flights]."""
        return in_months(self.flights, HELD_OUT_MONTHS).to_numpy()

    @property
    def waiting_rows(self) -> NDArray[np.bool_]:
        """The flights that had not left when they were due to, bool[flights]."""
        left = self.flights["departure"] <= self.flights["scheduled_departure"]
        return ~left.to_numpy(dtype=np.bool_)


def load_tables(progress: Progress) -> Tables:
    """Returns the tables."""
    progress("reading the flights of 2013")
    airports, all_flights = read_table("airports"), read_table("flights")
    flights = arrived_flights(all_flights, airports)
    progress(f"{len(flights):,} flights arrived; building static views and events")
    views = {
        "plane": plane_view(read_table("planes")),
        "route": route_view(flights[in_months(flights, TREE_MONTHS)]),
        "airport": airport_view(airports),
        "weather": weather_view(read_table("weather")),
    }
    events = {
        "departure": departure_events(all_flights),
        "arrival": arrival_events(all_flights, airports),
    }
    rows = {**views, **{f"{name}s": table for name, table in events.items()}}
    progress("rows: " + ", ".join(f"{name} {len(table):,}" for name, table in rows.items()))
    return Tables(flights, views, events)


def make_data_set(pipeline: Pipeline, types: Mapping[str, EventType], tables: Tables) -> DataSet:
    """Returns the flights as the pipeline's model sees them."""
    requests = tables.flights[REQUEST_FIELDS]
    features = feature_matrix(pipeline, requests, tables.views, types, tables.events)
    return DataSet(pipeline, tables.flights, features, model_columns(pipeline))
