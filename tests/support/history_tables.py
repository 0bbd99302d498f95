"""Small views, events and instants for tests of training sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from tailrace.features.history.training_set import EventFile, TrainingSet, ViewAt, training_set
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.feature_view import FeatureView

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
UTC_US = pa.timestamp("us", "UTC")

RIDE = EventType.model_validate(
    {
        "event": "ride",
        "fields": {
            "city": {"type": "string", "max_length": 8},
            "fare": {"type": "double", "required": False},
            "riders": {"type": "int64", "required": False},
        },
    }
)


def at(minutes: float) -> datetime:
    """Returns an instant so many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def rides(*rows: dict[str, Any]) -> pa.Table:
    """Returns events: `t` minutes after noon, known then or at `known`, of city `a` unless said."""
    columns: dict[str, list[Any]] = {name: [] for name in ("id", "event_time", "known_at")}
    columns |= {"city": [], "fare": [], "riders": []}
    for number, row in enumerate(rows):
        columns["id"].append(row.get("id", f"ride-{number}"))
        columns["event_time"].append(at(row["t"]))
        columns["known_at"].append(at(row.get("known", row["t"])))
        columns["city"].append(row.get("city", "a"))
        columns["fare"].append(row.get("fare"))
        columns["riders"].append(row.get("riders"))
    types = {"event_time": UTC_US, "known_at": UTC_US, "fare": pa.float64(), "riders": pa.int64()}
    return pa.table(
        {name: pa.array(cells, types.get(name, pa.string())) for name, cells in columns.items()}
    )


def windowed(*aggregates: dict[str, Any], **parts: Any) -> FeatureView:
    """Returns the view `v` of cities, with features f0, f1 and so on in tiles of 5 minutes."""
    source = {"type": "events", "event": "ride", "tile": "5m", **parts.pop("source", {})}
    features = [
        {
            "name": f"f{place}",
            "type": aggregate.get("type", "float64"),
            "aggregate": {k: v for k, v in aggregate.items() if k not in ("type", "default")},
        }
        | ({"default": aggregate["default"]} if "default" in aggregate else {})
        for place, aggregate in enumerate(aggregates)
    ]
    content = {
        "view": "v",
        "entity": "city",
        "keys": [{"name": "city"}],
        "source": source,
        "features": features,
        **parts,
    }
    return FeatureView.model_validate(content)


def asked(*minutes: float, city: str | None = "a") -> pa.Table:
    """Returns instants of one city, so many minutes after noon."""
    return pa.table(
        {
            "city": pa.array([city] * len(minutes), pa.string()),
            "at": pa.array([at(each) for each in minutes], UTC_US),
        }
    )


def computed(view: FeatureView, events: pa.Table, instants: pa.Table) -> TrainingSet:
    """Returns the training set of one view."""
    return training_set([ViewAt(view, EventFile(RIDE, events))], instants)


def values(made: TrainingSet, feature: str = "f0") -> list[Any]:
    """Returns the values of one feature of the view `v`."""
    found: list[Any] = made.table[f"v.{feature}"].to_pylist()
    return found
