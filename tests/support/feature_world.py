"""Feature views in a real Redis, and a handler that looks them up, without gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest_asyncio
import redis
import yaml

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.handler import FeatureHandler, LookupResult
from tailrace.features.key_cache import KeyCache
from tailrace.features.load_input import LoadInput
from tailrace.features.load_options import LoadOptions
from tailrace.features.load_report import LoadReport
from tailrace.features.loader import Progress, load_view
from tailrace.features.plan import LookupPlan, compile_lookup
from tailrace.features.pointer import KeyNames
from tailrace.features.redis_link import RedisLink
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Columns, DType, column_block
from tailrace.runtime.deadline import NS_PER_MS
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.plan import Pipeline

PREFIX = "test"
NOW_US = 1_700_000_000_000_000
_FIELD_TYPES = {"string": "string", "int64": "int64", "bool": "bool", "timestamp": "timestamp"}


def view(name: str, features: Mapping[str, str], **parts: Any) -> dict[str, Any]:
    """Returns the content of a view file: `features` by name and type; the key is the string `id`.

    Args:
        name: of the view.
        features: type of each feature by name.
        parts: other parts of the file; `defaults` holds defaults by feature.
    """
    defaults = parts.pop("defaults", {})
    listed = [
        {"name": feature, "type": type_name}
        | ({"default": defaults[feature]} if feature in defaults else {})
        for feature, type_name in features.items()
    ]
    return {"view": name, "entity": name, "keys": [{"name": "id"}], "features": listed, **parts}


def write_pipeline(folder: Path, views: Sequence[Mapping[str, Any]]) -> Path:
    """Writes the pipeline `p`, which reads every view by request fields `<view>_<key>`.

    Returns:
        The folder of the pipeline file; the views are beside it.
    """
    pipelines, features = folder / "pipelines", folder / "features"
    pipelines.mkdir(parents=True, exist_ok=True)
    features.mkdir(exist_ok=True)
    fields: dict[str, Any] = {"x": {"type": "double"}}
    uses = []
    for content in views:
        (features / f"{content['view']}.yaml").write_text(yaml.safe_dump(dict(content)))
        keys = {}
        for key in content["keys"]:
            field = f"{content['view']}_{key['name']}"
            fields[field] = {"type": _FIELD_TYPES[key.get("type", "string")]}
            keys[key["name"]] = f"request.{field}"
        uses.append({"view": content["view"], "keys": keys})
    pipeline = {
        "pipeline": "p",
        "version": "1",
        "request": {"fields": fields},
        "features": {"views": uses},
        "model": {
            "name": "m",
            "inputs": [{"name": "x", "dtype": "float32", "columns": ["x"]}],
            "outputs": [{"name": "y", "dtype": "float32", "shape": []}],
        },
        "postprocess": {"outputs": [{"name": "y"}]},
    }
    (pipelines / "p.yaml").write_text(yaml.safe_dump(pipeline))
    return pipelines


class FeatureWorld:
    """The views of one pipeline, a store, and a handler whose wall clock stands at `now_us`.

    Attributes:
        now_us: what ages are counted to, microseconds since 1970.
        views: the views by name.
        store: what the handler reads.
        cache: of the store; None if it has none.
    """

    def __init__(
        self,
        folder: Path,
        server: LocalRedis,
        views: Sequence[Mapping[str, Any]],
        *,
        max_keys: int = 8192,
        connections: int = 1,
        cache_bytes: int = 0,
        cache_ttl_s: float = 60.0,
    ) -> None:
        self.folder = folder
        self.now_us = NOW_US
        self.pipelines_dir = write_pipeline(folder, views)
        self.url = server.url
        self.names = KeyNames(PREFIX)
        self.cache = KeyCache(cache_bytes, cache_ttl_s) if cache_bytes else None
        self.store = RedisFeatureStore(
            server.url, prefix=PREFIX, connections=connections, cache=self.cache
        )
        self.handler = FeatureHandler(self.store, max_keys=max_keys, now_us=lambda: self.now_us)
        content = load_directory(self.pipelines_dir)
        assert not content.errors, content.errors
        self.views: dict[str, FeatureView] = content.views
        self.pipeline: Pipeline = content.pipelines["p"]
        self.plan: LookupPlan = compile_lookup(self.pipeline)

    @property
    def key_columns(self) -> list[str]:
        """Names of the key columns of all views."""
        return [name for plan in self.plan.views for name, _ in plan.key_columns]

    def redis(self) -> redis.Redis:
        """Returns a client of its own, to look and to meddle; close it."""
        return redis.Redis.from_url(self.url)

    def parquet(self, table: Mapping[str, Any], name: str = "table") -> Path:
        """Returns a Parquet file with these columns."""
        file = self.folder / f"{name}.parquet"
        parquet.write_table(pa.table(dict(table)), file)
        return file

    async def load(
        self,
        view_name: str,
        source: Mapping[str, Any] | Path | LoadInput,
        *,
        on_progress: Progress = lambda done, total: None,
        **options: Any,
    ) -> LoadReport:
        """Loads columns, a file, or another source of rows into a view."""
        rows = self.parquet(source, view_name) if isinstance(source, Mapping) else source
        link = RedisLink(self.url, client_name="tests")
        try:
            return await load_view(
                self.views[view_name],
                rows,
                link=link,
                prefix=PREFIX,
                options=LoadOptions(**options),
                on_progress=on_progress,
            )
        finally:
            await link.close()

    def batch(self, keys: Mapping[str, Sequence[Any]], *, deadline_ms: float = 5000) -> Batch:
        """Returns a batch with key columns `<view>.<key>`; None is a null key."""
        rows = len(next(iter(keys.values())))
        columns = Columns(rows)
        dtypes = dict(pair for plan in self.plan.views for pair in plan.key_columns)
        for name, cells in keys.items():
            dtype = dtypes.get(name, DType.FLOAT64)
            values = np.empty(rows, dtype.numpy)
            empty = "" if dtype.is_ragged else 0
            values[:] = [empty if cell is None else cell for cell in cells]
            present = np.array([cell is not None for cell in cells])
            columns.extend([column_block(name, dtype, values, None if present.all() else present)])
        deadlines = [time.monotonic_ns() + int(deadline_ms * NS_PER_MS)] * rows
        ids = [f"request-{row}" for row in range(rows)]
        return Batch("p", self.pipeline.version, Rows(ids, deadlines), columns)

    async def look_up(
        self, keys: Mapping[str, Sequence[Any]], *, deadline_ms: float = 5000
    ) -> tuple[Batch, LookupResult]:
        """Returns a batch and what the handler made of it. Raises TimeoutError."""
        batch = self.batch(keys, deadline_ms=deadline_ms)
        async with asyncio.timeout(deadline_ms / 1000):
            return batch, await self.handler.handle(batch, self.plan)

    async def close(self) -> None:
        """Closes the store."""
        await self.store.close()


class MakeWorld(Protocol):
    """Makes worlds for one test; the options are `FeatureWorld`'s."""

    def __call__(
        self, *views: dict[str, Any], server: LocalRedis | None = None, **options: Any
    ) -> FeatureWorld:
        """Returns a world on the shared Redis, or on `server`."""


@pytest_asyncio.fixture
async def make_world(tmp_path: Path, fresh_redis: LocalRedis) -> AsyncIterator[MakeWorld]:
    """Makes feature views in a real Redis, with a handler to look them up."""
    worlds: list[FeatureWorld] = []

    def make(
        *views: dict[str, Any], server: LocalRedis | None = None, **options: Any
    ) -> FeatureWorld:
        folder = tmp_path / f"world-{len(worlds)}"
        worlds.append(FeatureWorld(folder, server or fresh_redis, views, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.close()
