"""Held-out flights, in the forms that contenders take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailrace.cli.held_out import read_held_out
from tailrace.cli.preparation import PreparedExample
from tailrace.client.values import to_value
from tailrace.loadtest.bench.plain_chain.flight_row import (
    PIPELINE,
    FlightModel,
    encode,
    entity_keys,
)
from tailrace.v1 import prediction_service_pb2

FIELDS = {
    "carrier", "flight_number", "tailnum", "origin", "dest", "scheduled_departure",
    "scheduled_arrival", "distance",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flight:
    """One flight, in both forms that contenders take.

    Attributes:
        request: for the chains.
        row: float32 [1, features], for the bare model.
    """

    request: prediction_service_pb2.PredictRequest
    row: NDArray[np.float32]


def read_flights(
    prepared: PreparedExample, model: FlightModel, client: Any, count: int = 2000
) -> list[Flight]:
    """Returns held-out flights.

    Args:
        prepared: the example.
        model: the constants of the pipeline.
        client: of the Redis with the packed rows.
        count: how many.
    """
    section = prepared.example.manifest.held_out
    assert section is not None
    rows = read_held_out(prepared.folder / section.file, section, FIELDS, count)
    flights = []
    for row in rows:
        fields = {name: to_value(value, name) for name, value in row.fields.items()}
        request = prediction_service_pb2.PredictRequest(pipeline=PIPELINE, fields=fields)
        keys = entity_keys(request)
        values = list(np.array(encode(model, request), "<f4"))
        for view, stored in zip(
            model.views, client.mget([keys[view] for view in model.views]), strict=True
        ):
            missing = np.full(len(model.views[view]), np.nan, "<f4")
            values += list(missing if stored is None else np.frombuffer(stored, "<f4"))
        flights.append(Flight(request, np.array([values], "<f4")))
    return flights
