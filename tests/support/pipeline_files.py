"""A small pipeline and its views as content to change, and the files made of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

PIPELINE: dict[str, Any] = {
    "pipeline": "tip",
    "version": "1",
    "description": "What a ride is worth.",
    "request": {
        "fields": {
            "driver": {"type": "string", "required": True, "max_length": 16},
            "zone": {"type": "int64", "default": 0, "minimum": 0},
            "distance": {"type": "double", "unit": "km"},
            "pickup": {"type": "timestamp", "required": True},
            "embedding": {"type": "tensor", "dtype": "float32", "shape": [4]},
        }
    },
    "ingest": {
        "steps": [
            {"step": "time_parts", "input": "pickup", "parts": ["hour", "month"], "prefix": "at_"},
            {"step": "vocabulary", "input": "driver", "output": "driver_id", "values": ["a", "b"]},
            {"step": "clip", "input": "distance", "output": "near", "minimum": 0, "maximum": 9},
            {"step": "cast", "input": "zone", "output": "zone_id", "dtype": "int64"},
        ]
    },
    "features": {
        "on_failure": "defaults",
        "views": [
            {"view": "driver", "keys": {"driver": "request.driver"}},
            {"view": "place", "keys": {"zone": "ingest.zone_id"}},
        ],
    },
    "model": {
        "name": "tip_model",
        "version": "latest",
        "inputs": [
            {
                "name": "features",
                "dtype": "float32",
                "columns": ["at_hour", "driver_id", "near", "driver.rides", "place.busy"],
            },
            {"name": "vector", "dtype": "float32", "column": "embedding"},
        ],
        "outputs": [{"name": "score", "dtype": "float32", "shape": [1]}],
    },
    "postprocess": {
        "steps": [
            {"step": "platt", "input": "score", "output": "probability", "a": 1.0, "b": 0.0},
            {
                "step": "threshold",
                "input": "probability",
                "output": "good",
                "labels": ["no", "yes"],
            },
        ],
        "outputs": [
            {"name": "probability", "unit": "1", "description": "Of a tip."},
            {"name": "good"},
            {"name": "km", "column": "near", "unit": "km"},
        ],
    },
    "deadline": {"default_ms": 100, "maximum_ms": 1000},
    "budgets": {"inference": {"cap_ms": 50, "floor_ms": 2}},
}

VIEWS: dict[str, dict[str, Any]] = {
    "driver": {
        "view": "driver",
        "entity": "driver",
        "keys": [{"name": "driver", "type": "string"}],
        "features": [{"name": "rides", "type": "int64"}],
        "max_age": "1d",
    },
    "place": {
        "view": "place",
        "entity": "zone",
        "keys": [{"name": "zone", "type": "int64"}],
        "features": [
            {"name": "busy", "type": "float32", "default": 0.5},
            {"name": "name", "type": "string"},
        ],
        "on_missing": "flag",
    },
}

REMOVED = object()
"""In place of a new value: takes the name out."""


def changed(content: dict[str, Any], *changes: tuple[str, Any]) -> dict[str, Any]:
    """A copy with other values at paths such as `ingest.steps.0.input`."""
    copied = copy.deepcopy(content)
    for path, value in changes:
        *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        node: Any = copied
        for part in above:
            node = node[part]
        if value is REMOVED:
            del node[last]
        else:
            node[last] = value
    return copied


def renamed(content: dict[str, Any], path: str, name: str) -> dict[str, Any]:
    """A copy in which the last name of a path is another one."""
    copied = copy.deepcopy(content)
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    node: Any = copied
    for part in above:
        node = node[part]
    node[name] = node.pop(last)
    return copied


def write_yaml(path: Path, content: Any) -> Path:
    """Writes content, or text as it is, to a file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    path.write_text(text)
    return path


def write_folder(folder: Path, content: Any = PIPELINE) -> Path:
    """Writes a pipeline `tip.yaml` and the views; returns the pipelines directory."""
    for name, view in VIEWS.items():
        write_yaml(folder / "features" / f"{name}.yaml", view)
    return write_yaml(folder / "pipelines" / "tip.yaml", content).parent
