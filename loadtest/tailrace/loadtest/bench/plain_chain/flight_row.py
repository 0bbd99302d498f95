"""What the plain chain knows of its pipeline, taken from the pipeline's file at the start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.ingest_steps import VocabularyStep
from tailrace.runtime.pipeline.postprocess_steps import PlattStep, ThresholdStep
from tailrace.v1 import prediction_service_pb2

PIPELINE = "flight-delay-static"
"""What all contenders answer: without windowed features, which only Tailrace has."""

NEW_YORK = ZoneInfo("America/New_York")
INGEST_COLUMNS = (
    "dep_minute_of_day", "dep_day_of_week", "carrier_id", "origin_id", "distance_miles",
    "block_minutes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FlightModel:
    """The constants of the pipeline.

    Attributes:
        vocabularies: index by value, for `carrier` and `origin`.
        views: feature names of each view, in the order of the model's input.
        platt: a and b of the calibration.
        threshold: from which probability a flight is called late.
        model: name of the model in Triton.
    """

    vocabularies: dict[str, dict[str, int]]
    views: dict[str, list[str]]
    platt: tuple[float, float]
    threshold: float
    model: str


def read_model(pipelines: Path) -> FlightModel:
    """Returns the constants. Raises ValueError if the pipeline is not the one known here."""
    content = load_directory(pipelines)
    pipeline = content.pipelines.get(PIPELINE)
    if pipeline is None:
        raise ValueError(f"no usable pipeline {PIPELINE} in {pipelines}: {content.errors}")
    columns = pipeline.spec.model.inputs[0].source_columns()
    if tuple(columns[: len(INGEST_COLUMNS)]) != INGEST_COLUMNS:
        raise ValueError("the pipeline's ingest columns are not those of the plain chain")
    views: dict[str, list[str]] = {}
    for column in columns[len(INGEST_COLUMNS) :]:
        view, _, feature = column.partition(".")
        views.setdefault(view, []).append(feature)
    vocabularies = {
        step.input: {str(value): place for place, value in enumerate(step.values)}
        for step in pipeline.spec.ingest.steps
        if isinstance(step, VocabularyStep)
    }
    steps = pipeline.spec.postprocess.steps
    platt = next(step for step in steps if isinstance(step, PlattStep))
    threshold = next(step for step in steps if isinstance(step, ThresholdStep)).threshold
    return FlightModel(vocabularies, views, (platt.a, platt.b), threshold, pipeline.spec.model.name)


def encode(model: FlightModel, request: prediction_service_pb2.PredictRequest) -> list[float]:
    """Returns the values of `INGEST_COLUMNS` for a request."""
    fields = request.fields
    departure = _instant(fields["scheduled_departure"].timestamp_value)
    arrival = _instant(fields["scheduled_arrival"].timestamp_value)
    local = departure.astimezone(NEW_YORK)
    minutes = (arrival - departure).total_seconds() / 60
    return [
        local.hour * 60 + local.minute,
        local.weekday(),
        model.vocabularies["carrier"].get(fields["carrier"].string_value, -1),
        model.vocabularies["origin"].get(fields["origin"].string_value, -1),
        fields["distance"].double_value,
        minutes if minutes > 0 else float("nan"),
    ]


def entity_keys(request: prediction_service_pb2.PredictRequest) -> dict[str, str]:
    """Returns the key of each view's row in Redis for a request."""
    fields = request.fields
    origin, dest = fields["origin"].string_value, fields["dest"].string_value
    hour = fields["scheduled_departure"].timestamp_value.seconds // 3600
    return {
        "plane": f"plain:plane:{fields['tailnum'].string_value}",
        "route": f"plain:route:{origin}:{dest}",
        "airport": f"plain:airport:{dest}",
        "weather": f"plain:weather:{origin}:{hour}",
    }


def _instant(stamp: Timestamp) -> datetime:
    return datetime.fromtimestamp(stamp.seconds + stamp.nanos / 1e9, UTC)
