"""Real Feast at work: run by Feast's own Python, as it cannot live in the project's environment.

Reads one JSON object a line and answers with one: the result, or what went wrong. Imports
nothing of the project.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feast
import feast.types
import pandas as pd
from feast.data_source import PushMode
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RegistryConfig, RepoConfig
from google.protobuf import json_format

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PANDAS = {"Int64": "Int64", "Int32": "Int32", "Bool": "boolean", "Float64": "float64"}


class Program:
    """A feature repository in a folder, with its online store in Redis."""

    def __init__(self) -> None:
        self._store: feast.FeatureStore | None = None
        self._folder = Path()
        self._fields: dict[str, dict[str, str]] = {}

    @property
    def store(self) -> feast.FeatureStore:
        assert self._store is not None, "open it first"
        return self._store

    def version(self) -> str:
        return str(feast.__version__)

    def open(self, folder: str, project: str, connection: str) -> None:
        """Opens a repository."""
        self._folder = Path(folder)
        online_store = {"type": "redis", "connection_string": connection}
        config = RepoConfig(
            project=project,
            provider="local",
            registry=RegistryConfig(path=str(self._folder / f"{project}.db")),
            online_store=online_store,
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )
        self._store = feast.FeatureStore(config=config)

    def apply(self, view: str, keys: dict[str, str], fields: dict[str, str]) -> None:
        """Declares a view: types by join key, names of `feast.ValueType`, and by field."""
        types = {"INT64": "Int64", "INT32": "Int32", "STRING": "String"}
        types["UNIX_TIMESTAMP"] = "UnixTimestamp"
        self._fields[view] = {key: types[kind] for key, kind in keys.items()} | fields
        entities = [
            feast.Entity(name=key, join_keys=[key], value_type=feast.ValueType[kind])
            for key, kind in keys.items()
        ]
        file = self._file(view)
        names = [*self._fields[view], "event_timestamp"]
        empty: dict[str, list[Any]] = {name: [] for name in names}
        self._table(view, empty).to_parquet(file)
        batch = feast.FileSource(name=view, path=str(file), timestamp_field="event_timestamp")
        source = feast.PushSource(name=f"{view}_push", batch_source=batch)
        declared = feast.FeatureView(
            name=view,
            entities=entities,
            ttl=timedelta(0),
            schema=[
                feast.Field(name=field, dtype=_feast_type(kind))
                for field, kind in self._fields[view].items()
            ],
            source=source,
        )
        self.store.apply([*entities, batch, source, declared])

    def write(self, view: str, columns: dict[str, list[Any]], how: str) -> None:
        """Writes rows online: by `write_to_online_store`, `push` or `materialize`."""
        table = self._table(view, columns)
        if how == "push":
            self.store.push(f"{view}_push", table, to=PushMode.ONLINE)
        elif how == "materialize":
            table.to_parquet(self._file(view))
            instants = table["event_timestamp"]
            margin = timedelta(seconds=1)
            start, end = instants.min() - margin, instants.max() + margin
            self.store.materialize(start.to_pydatetime(), end.to_pydatetime(), [view])
        else:
            self.store.write_to_online_store(view, df=table)

    def write_values(
        self, view: str, keys: list[dict[str, Any]], rows: list[dict[str, Any]], at: str
    ) -> None:
        """Writes values as they are, as `Value` messages in JSON."""
        declared = self.store.get_feature_view(view)
        instant = datetime.fromisoformat(at)
        data = [
            (_entity_key(key), {name: _value(value) for name, value in row.items()}, instant, None)
            for key, row in zip(keys, rows, strict=True)
        ]
        provider = self.store._get_provider()
        provider.online_write_batch(self.store.config, declared, data, None)

    def read(self, view: str, names: list[str], keys: dict[str, list[Any]]) -> dict[str, Any]:
        """Returns what Feast serves: values and statuses by feature, and instants of the rows."""
        answer = self.store.get_online_features(
            features=[f"{view}:{name}" for name in names], entity_rows=keys
        )
        cells = answer.to_dict()
        proto = answer.proto
        listed = list(proto.metadata.feature_names.val)
        results = {name: proto.results[listed.index(name)] for name in names}
        first = results[names[0]]
        return {
            "values": {name: [_plain(cell) for cell in cells[name]] for name in names},
            "statuses": {name: list(results[name].statuses) for name in names},
            "instants_us": [at.seconds * 10**6 + at.nanos // 1000 for at in first.event_timestamps],
        }

    def fields(self, names: list[str]) -> list[str]:
        """Returns Feast's hash of each name, in hexadecimal."""
        return [_mmh3(name).hex() for name in names]

    def keys(self, keys: list[dict[str, Any]]) -> list[str]:
        """Returns Feast's serialised entity keys, in hexadecimal; values as `Value` in JSON."""
        return [serialize_entity_key(_entity_key(key), 3).hex() for key in keys]

    def _file(self, view: str) -> Path:
        return self._folder / f"{view}.parquet"

    def _table(self, view: str, columns: dict[str, list[Any]]) -> pd.DataFrame:
        kinds = {**self._fields[view], "event_timestamp": "UnixTimestamp"}
        return pd.DataFrame({name: _series(cells, kinds[name]) for name, cells in columns.items()})


def _series(cells: list[Any], kind: str) -> pd.Series:
    if kind == "UnixTimestamp":
        return pd.Series(pd.to_datetime(cells, utc=True, format="ISO8601"))
    if kind == "Float32":
        return pd.Series(cells, dtype="float32")
    return pd.Series(cells, dtype=_PANDAS.get(kind, "object"))


def _feast_type(kind: str) -> Any:
    if kind.startswith("Array:"):
        return feast.types.Array(getattr(feast.types, kind.removeprefix("Array:")))
    return getattr(feast.types, kind)


def _entity_key(key: dict[str, Any]) -> EntityKey:
    return EntityKey(join_keys=list(key), entity_values=[_value(each) for each in key.values()])


def _value(content: dict[str, Any]) -> Value:
    return json_format.ParseDict(content, Value())


def _plain(cell: Any) -> Any:
    if isinstance(cell, datetime):
        return round(
            (cell.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)
        )
    return list(cell) if isinstance(cell, list) else cell


def main() -> None:
    """Answers until the input ends."""
    # Feast prints: what it says must not stand among the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    program = Program()
    for line in sys.stdin:
        request = json.loads(line)
        method: Callable[..., Any] = getattr(program, request["method"])
        try:
            answer = {"result": method(**request["arguments"])}
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
