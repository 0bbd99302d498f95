"""Feast's online store in a process of its own, run by the Python of Feast's own environment.

`python features_feast.py NAME REDIS_SOCKET TABLE PARQUET FOLDER`: reads an order as JSON per
line of its input, and answers each with a line. It imports nothing of Tailrace.

Feast is set up the fastest way that its documentation knows: a registry that is read once
(`cache_ttl_seconds: 0`), one view, writes without reading first (`skip_dedup`), hiredis, keys as
columns, and for `precomputed` a feature service with `precompute_online`, whose vectors are one
field each. `refs` asks for a list of features. What Feast answers counts as answered when
`get_online_features` returns: a message. Until it is values, by `to_dict`, is told beside it.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = [f"f{number}" for number in range(8)]
KEY = "account_id"
VIEW = "account"
SERVICE = "accounts"
ROWS_PER_WRITE = 2000
LEAST_CALLS = 30


class FeastStore:
    """One Feast project."""

    def __init__(self, name: str, socket: str, table: str, parquet: str, folder: str) -> None:
        """Registers the view; `precomputed` as name makes its service a precomputed one."""
        from feast import (
            Entity,
            FeatureService,
            FeatureStore,
            FeatureView,
            Field,
            FileSource,
            RepoConfig,
            ValueType,
        )
        from feast.repo_config import RegistryConfig
        from feast.types import Float64

        self._table: Any = np.load(table, mmap_mode="r")
        self._precomputed = name == "precomputed"
        path = str(Path(folder) / f"feast-{name}.db")
        online_store = {
            "type": "redis",
            "connection_string": f"localhost:0,unix_socket_path={socket}",
            "skip_dedup": True,
        }
        config = RepoConfig(
            project=name,
            provider="local",
            registry=RegistryConfig(path=path, cache_ttl_seconds=0),
            online_store=online_store,
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )
        entity = Entity(name="account", join_keys=[KEY], value_type=ValueType.INT64)
        view = FeatureView(
            name=VIEW,
            entities=[entity],
            ttl=timedelta(0),
            schema=[Field(name=feature, dtype=Float64) for feature in FEATURES],
            source=FileSource(path=parquet, timestamp_field="event_timestamp"),
        )
        service = FeatureService(name=SERVICE, features=[view], precompute_online=self._precomputed)
        self._store: Any = FeatureStore(config=config)
        self._store.apply([entity, view, service])
        self._asked: Any = [f"{VIEW}:{feature}" for feature in FEATURES]
        if self._precomputed:
            self._asked = self._store.get_feature_service(SERVICE)

    def load(self) -> dict[str, float]:
        """Writes all entities into Feast's online store, by Feast's own call."""
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        view: Any = self._store.get_feature_view(VIEW)
        rows_of: Any = self._features_of
        if self._precomputed:
            view, rows_of = self._vector_view(), self._vectors_of
        provider: Any = self._store._get_provider()
        now = datetime.now(UTC)
        began = time.perf_counter()
        for first in range(0, len(self._table), ROWS_PER_WRITE):
            part = self._table[first : first + ROWS_PER_WRITE].tolist()
            data = [
                (
                    EntityKey(join_keys=[KEY], entity_values=[Value(int64_val=first + number)]),
                    rows_of(row, now),
                    now,
                    now,
                )
                for number, row in enumerate(part)
            ]
            provider.online_write_batch(self._store.config, view, data, None)
        return {"seconds": time.perf_counter() - began}

    def slice(self, rows: int, seconds: float, seed: int) -> dict[str, Any]:
        """Asks for random entities one call after the other, and compares every answer."""
        chance = np.random.default_rng(seed)
        latencies: list[float] = []
        until_dict: list[float] = []
        wrong = 0
        ask, asked = self._store.get_online_features, self._asked
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(latencies) < LEAST_CALLS:
            ids = chance.integers(0, len(self._table), rows)
            entity_rows = {KEY: ids.tolist()}
            began = time.perf_counter()
            response = ask(
                features=asked, entity_rows=entity_rows, full_feature_names=self._precomputed
            )
            latencies.append(time.perf_counter() - began)
            answer = response.to_dict()
            until_dict.append(time.perf_counter() - began)
            wrong += self._wrong(answer, ids)
        p50, p99 = np.percentile(latencies, [50, 99]) * 1e6
        dict_p50 = np.percentile(until_dict, 50) * 1e6
        found = {"p50_us": p50, "p99_us": p99, "until_dict_p50_us": dict_p50}
        return {**found, "calls": len(latencies), "wrong": wrong}

    def _wrong(self, answer: dict[str, Any], ids: Any) -> int:
        prefix = f"{VIEW}__" if self._precomputed else ""
        found = np.array([answer[prefix + feature] for feature in FEATURES], np.float64).T
        return int((found != self._table[ids]).any(axis=1).sum())

    def _features_of(self, row: list[float], now: datetime) -> dict[str, Any]:
        from feast.protos.feast.types.Value_pb2 import Value

        return {name: Value(double_val=value) for name, value in zip(FEATURES, row, strict=True)}

    def _vectors_of(self, row: list[float], now: datetime) -> dict[str, Any]:
        # As `precompute_feature_service` makes them, which writes one entity at a time: 1,000 a
        # second.
        from feast.protos.feast.core.PrecomputedFeatureVector_pb2 import (
            FeatureViewTimestamp,
            PrecomputedFeatureVector,
        )
        from feast.protos.feast.types.Value_pb2 import Value

        vector = PrecomputedFeatureVector()
        vector.feature_names.extend([f"{VIEW}__{feature}" for feature in FEATURES])
        vector.values.extend([Value(double_val=value) for value in row])
        instant = FeatureViewTimestamp(feature_view_name=VIEW)
        instant.event_timestamp.FromDatetime(now)
        vector.fv_timestamps.append(instant)
        vector.precomputed_at.FromDatetime(now)
        return {"vector": Value(bytes_val=vector.SerializeToString())}

    def _vector_view(self) -> Any:
        from feast import FeatureView, Field
        from feast.types import Bytes

        name = f"__precomputed__{SERVICE}"
        schema = [Field(name="vector", dtype=Bytes)]
        return FeatureView(name=name, entities=[], schema=schema, source=None)


def versions() -> dict[str, str]:
    """Returns the versions of what answers."""
    names = ("feast", "redis", "hiredis", "numpy")
    return {"python": sys.version.split()[0], **{name: metadata.version(name) for name in names}}


def main() -> None:
    """Carries out orders until its input ends."""
    store = FeastStore(*sys.argv[1:])
    answers = sys.stdout
    # What Feast prints is none of the answers.
    sys.stdout = sys.stderr
    print(json.dumps(versions()), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any]
        if order["work"] == "load":
            answer = store.load()
            gc.collect()
            gc.freeze()
        else:
            answer = store.slice(order["rows"], order["seconds"], order["seed"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
