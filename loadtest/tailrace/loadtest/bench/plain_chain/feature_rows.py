"""Puts the static views into Redis as the plain chain reads them: packed float32 by entity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import redis

from tailrace.loadtest.bench.plain_chain.flight_row import FlightModel


def load_rows(client: redis.Redis, model: FlightModel, files: dict[str, Path]) -> int:
    """Returns the number of rows written.

    Args:
        client: of the Redis to write to.
        model: names the views and their features.
        files: Parquet file of each view.
    """
    written = 0
    for view, features in model.views.items():
        table = pq.read_table(files[view]).to_pydict()
        values = np.array(
            [[np.nan if value is None else value for value in table[name]] for name in features],
            dtype="<f4",
        ).T
        pipeline = client.pipeline(transaction=False)
        for row, key in enumerate(_keys(view, table)):
            pipeline.set(key, values[row].tobytes())
        pipeline.execute()
        written += len(values)
    return written


def _keys(view: str, table: dict[str, list[object]]) -> list[str]:
    if view == "weather":
        hours = [int(instant.timestamp()) // 3600 for instant in table["hour"]]  # type: ignore[attr-defined]
        return [
            f"plain:weather:{origin}:{hour}"
            for origin, hour in zip(table["origin"], hours, strict=True)
        ]
    columns = {"plane": ["tailnum"], "route": ["origin", "dest"], "airport": ["dest"]}[view]
    parts = zip(*(table[column] for column in columns), strict=True)
    return [f"plain:{view}:" + ":".join(map(str, part)) for part in parts]
