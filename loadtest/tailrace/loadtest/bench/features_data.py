"""What `make bench-features` looks up: random numbers, and the files that describe them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import yaml

FEATURES = tuple(f"f{number}" for number in range(8))
KEY = "account_id"
STATIC_VIEW = "account"
WINDOWED_VIEW = "payments"
EVENT = "payment"
PREFIX = "bench"
SMALL = 10_000
"""Entities of the small store."""

EVENT_ENTITIES = 100_000
MARKED_FROM = 1_000_000_000
"""The entities of events that are sent to see when lookups see them begin here."""

WINDOWS = (("1m", "5s"), ("5m", "10s"), ("1h", "1m"), ("6h", "5m"), ("1d", "15m"))
"""Each window with its tile."""

FUNCTIONS = ("count", "mean", "min", "max")
SEED = 20_130_101

_STATIC: dict[str, Any] = {
    "view": STATIC_VIEW,
    "entity": "account",
    "keys": [{"name": KEY, "type": "int64"}],
    "features": [{"name": name, "type": "float64"} for name in FEATURES],
}
_EVENT: dict[str, Any] = {
    "event": EVENT,
    "fields": {KEY: {"type": "int64"}, "amount": {"type": "double"}},
}


def write_table(folder: Path, entities: int) -> tuple[Path, Path, Path]:
    """Writes the values of all entities: the key of row n is n.

    Returns:
        `.npy` file of float64 [entities, 8], Parquet file of the same, and Parquet file of its
        first `SMALL` rows.
    """
    table = np.random.default_rng(SEED).random((entities, len(FEATURES)))
    numbers = folder / "table.npy"
    np.save(numbers, table)
    files = []
    for name, rows in (("large", entities), ("small", min(SMALL, entities))):
        columns = {feature: table[:rows, place] for place, feature in enumerate(FEATURES)}
        files.append(folder / f"{name}.parquet")
        # Feast wants to be told of a file with instants, though it is never read from it.
        instants = np.full(rows, np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us"))
        content: dict[str, Any] = {KEY: np.arange(rows), **columns, "event_timestamp": instants}
        parquet.write_table(pa.table(content), files[-1])
    return numbers, files[0], files[1]


def write_files(folder: Path) -> Path:
    """Writes views, event type and pipelines; returns the folder of the pipelines.

    The pipelines are named as the views that they read, by the request field `account_id`.
    """
    contents = {
        "features": {STATIC_VIEW: _STATIC, WINDOWED_VIEW: _windowed()},
        "events": {EVENT: _EVENT},
        "pipelines": {view: _pipeline(view) for view in (STATIC_VIEW, WINDOWED_VIEW)},
    }
    for kind, files in contents.items():
        (folder / kind).mkdir()
        for name, content in files.items():
            (folder / kind / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder / "pipelines"


def _windowed() -> dict[str, Any]:
    features = [
        {
            "name": f"{function}_{window}",
            "type": "float64",
            "aggregate": {
                "function": function,
                **({} if function == "count" else {"of": "amount"}),
                "window": window,
                "tile": tile,
            },
        }
        for window, tile in WINDOWS
        for function in FUNCTIONS
    ]
    keys = [{"name": KEY, "type": "int64"}]
    source = {"type": "events", "event": EVENT, "tile": "1m"}
    parts = {"entity": "account", "keys": keys, "source": source, "features": features}
    return {"view": WINDOWED_VIEW, **parts}


def _pipeline(view: str) -> dict[str, Any]:
    return {
        "pipeline": view,
        "version": "1",
        "request": {"fields": {KEY: {"type": "int64"}, "x": {"type": "double"}}},
        "features": {"views": [{"view": view, "keys": {KEY: f"request.{KEY}"}}]},
        "model": {
            "name": "m",
            "inputs": [{"name": "x", "dtype": "float32", "columns": ["x"]}],
            "outputs": [{"name": "y", "dtype": "float32", "shape": []}],
        },
        "postprocess": {"outputs": [{"name": "y"}]},
    }
