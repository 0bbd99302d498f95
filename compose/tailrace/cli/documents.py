"""Submissions and callbacks as JSON documents."""

from __future__ import annotations

import enum
import json
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from tailrace.client import Prediction, PredictionError, StoredPrediction
from tailrace.client.json_values import error_to_json, prediction_to_json, to_json


def document(value: Any) -> Any:
    """Returns what stands for a value in JSON.

    Times are RFC 3339 text, states their names; outcomes are `{"prediction": …}` or
    `{"error": …}`. A submission also has its latencies, in milliseconds.
    """
    if isinstance(value, Prediction):
        return {"prediction": prediction_to_json(value)}
    if isinstance(value, PredictionError):
        return {"error": error_to_json(value)}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, datetime):
        return to_json(value)
    if isinstance(value, list | tuple):
        return [document(each) for each in value]
    if is_dataclass(value):
        found = {field.name: document(getattr(value, field.name)) for field in fields(value)}
        if isinstance(value, StoredPrediction):
            found |= {
                "queue_ms": value.queue_ms,
                "run_ms": value.run_ms,
                "delivery_ms": value.delivery_ms,
            }
        return found
    return value


def print_document(value: Any) -> None:
    """Prints a value as JSON."""
    print(json.dumps(document(value), indent=2, ensure_ascii=False))


def print_line(value: Any) -> None:
    """Prints a value as one line of JSON, at once."""
    print(json.dumps(document(value), ensure_ascii=False), flush=True)
