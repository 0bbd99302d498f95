"""Everything that is read and derived before a model is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from preparation.feature_matrix import (
    Matrix,
    feature_matrix,
    load_flight_pipeline,
    model_columns,
)
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
from tailrace.runtime.pipeline.plan import Pipeline

PIPELINES = Path(__file__).parent.parent / "pipelines"
PIPELINE = "flight-delay"


@dataclass(frozen=True, slots=True)
class DataSet:
    """The year's flights as the model sees them.

    Attributes:
        pipeline: the pipeline that the model is made for.
        flights: the flights that arrived, as `arrived_flights` returns them.
        views: the static views by name.
        features: float32[flights, columns].
        columns: names of the features.
    """

    pipeline: Pipeline
    flights: pd.DataFrame
    views: dict[str, pd.DataFrame]
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


def load_data_set(progress: Progress) -> DataSet:
    """Returns the data set."""
    pipeline = load_flight_pipeline(PIPELINES, PIPELINE)
    progress("reading the flights of 2013")
    airports = read_table("airports")
    flights = arrived_flights(read_table("flights"), airports)
    progress(f"{len(flights):,} flights arrived; building the static views")
    views = {
        "plane": plane_view(read_table("planes")),
        "route": route_view(flights[in_months(flights, TREE_MONTHS)]),
        "airport": airport_view(airports),
        "weather": weather_view(read_table("weather")),
    }
    sizes = ", ".join(f"{name} {len(table):,}" for name, table in views.items())
    progress(f"rows: {sizes}; running the pipeline's ingest steps and lookups")
    features = feature_matrix(pipeline, flights[REQUEST_FIELDS], views)
    return DataSet(pipeline, flights, views, features, model_columns(pipeline))
