"""Tailrace's lookups, in this process and over gRPC, and plain reads to compare them with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self, TypeAlias

import grpc.aio
import numpy as np
import redis.asyncio
from numpy.typing import NDArray
from redis.asyncio.connection import DefaultParser

from tailrace.features.handler import FeatureHandler, LookupResult
from tailrace.features.plan import LookupPlan, compile_lookup
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.loadtest.bench.features_data import FEATURES, KEY, PREFIX, STATIC_VIEW, WINDOWED_VIEW
from tailrace.runtime.batch import Batch
from tailrace.runtime.batch import Rows as BatchRows
from tailrace.runtime.columns import Columns, DType, column_block
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.unary_method import UnaryMethod
from tailrace.runtime.wire import block_from_proto, write_block
from tailrace.v1 import feature_service_pb2, feature_service_pb2_grpc

Rows: TypeAlias = NDArray[np.float64]
"""Features by entity, [rows, features]."""

TIMEOUT_S = 10.0
_MAX_KEYS = 32_768
_COLUMNS = tuple(f"{STATIC_VIEW}.{feature}" for feature in FEATURES)


def lookup_plan(pipelines: Path, pipeline: str) -> LookupPlan:
    """Returns the plan of a pipeline. Raises RuntimeError if its files are wrong."""
    content = load_directory(pipelines)
    if content.errors:
        raise RuntimeError(str(content.errors))
    return compile_lookup(content.pipelines[pipeline])


class HandlerLookups:
    """What the features hop does with a batch, without messages and gRPC; no cache."""

    view = STATIC_VIEW

    def __init__(self, plan: LookupPlan, url: str) -> None:
        """Keeps the plan; `url` is that of Redis."""
        self._plan = plan
        self._store = RedisFeatureStore(url, prefix=PREFIX)
        self._handler = FeatureHandler(self._store, max_keys=_MAX_KEYS)

    @classmethod
    async def open(cls, pipelines: Path, url: str) -> Self:
        """Returns one that is connected."""
        made = cls(lookup_plan(pipelines, cls.view), url)
        await made._store.ping(TIMEOUT_S)
        return made

    def prepare(self, ids: NDArray[np.int64]) -> Batch:
        """Returns a batch, as the hop gets it from the one before it in the same process."""
        count = len(ids)
        deadline_ns = time.monotonic_ns() + int(TIMEOUT_S * 1e9)
        rows = BatchRows([f"r{row}" for row in range(count)], [deadline_ns] * count)
        columns = Columns(count, [column_block(f"{self.view}.{KEY}", DType.INT64, ids, None)])
        return Batch(self.view, "1", rows, columns)

    async def call(self, prepared: Batch) -> LookupResult:
        """Looks up."""
        return await self._handler.handle(prepared, self._plan)

    def values(self, answer: LookupResult) -> Rows:
        """Returns the features. Raises RuntimeError if a row has none."""
        for view in answer.views:
            if (view.states != 1).any():
                raise RuntimeError(f"states {view.states.tolist()}")
        for block in answer.columns.blocks:
            if block.names == _COLUMNS:
                found: Rows = block.values.T
                return found
        raise RuntimeError("an answer without the features")

    async def close(self) -> None:
        """Closes the connection."""
        await self._store.close()


class WindowedLookups(HandlerLookups):
    """The same, of the view that is kept up to date from events."""

    view = WINDOWED_VIEW

    def values(self, answer: LookupResult) -> Rows:
        """Returns the features in the order of their columns; entities may have none yet."""
        (block,) = [block for block in answer.columns.blocks if block.dtype is DType.FLOAT64]
        found: Rows = block.values.T
        return found

    async def count(self, entity: int) -> float:
        """Returns how many events of an entity a lookup sees in the longest window."""
        answer = await self.call(self.prepare(np.array([entity])))
        (block,) = [block for block in answer.columns.blocks if block.dtype is DType.FLOAT64]
        return float(block.values[block.names.index(f"{self.view}.count_1d"), 0])


class GrpcLookups:
    """A call of the features service as the gateway makes it: serialise, call, parse."""

    def __init__(self, target: str) -> None:
        """Keeps the channel."""
        self._calls = 0
        self._channel = grpc.aio.insecure_channel(target)
        stub = feature_service_pb2_grpc.FeatureServiceStub(self._channel)
        self._look_up = UnaryMethod(stub.LookupFeatures)

    def prepare(self, ids: NDArray[np.int64]) -> feature_service_pb2.LookupFeaturesRequest:
        """Returns the request as a message."""
        request = feature_service_pb2.LookupFeaturesRequest()
        batch = request.batch
        batch.pipeline, batch.pipeline_version = STATIC_VIEW, "1"
        batch.rows.count = len(ids)
        # No id twice: which rows are logged follows from them.
        self._calls += 1
        batch.rows.request_ids.extend([f"{self._calls:08x}-{row}" for row in range(len(ids))])
        batch.rows.remaining_us.extend([int(TIMEOUT_S * 1e6)] * len(ids))
        block = column_block(f"{STATIC_VIEW}.{KEY}", DType.INT64, ids, None)
        write_block(batch.blocks.add(), block)
        return request

    async def call(self, prepared: feature_service_pb2.LookupFeaturesRequest) -> Any:
        """Calls, and parses the answer."""
        return await self._look_up(prepared, timeout=TIMEOUT_S)

    def values(self, answer: feature_service_pb2.LookupFeaturesResponse) -> Rows:
        """Returns the features. Raises RuntimeError if a row has failed."""
        if answer.batch.rows.errors or set(answer.views[0].states) != {1}:
            raise RuntimeError(f"rows failed: {answer.batch.rows.errors}")
        count = answer.batch.rows.count
        for message in answer.batch.blocks:
            block = block_from_proto(message, count, "blocks")
            if block.names == _COLUMNS:
                found: Rows = block.values.T
                return found
        raise RuntimeError("an answer without the features")

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()


class PlainReads:
    """`redis.asyncio`: GET for one row, MGET for more; the same keys, and so the same bytes."""

    def __init__(self, plan: LookupPlan, client: redis.asyncio.Redis, row_prefix: str) -> None:
        """Keeps the parts; `row_prefix` is what the keys of all rows begin with."""
        (view,) = plan.views
        self._source = view.source
        self._client = client
        self._row_prefix = row_prefix

    @classmethod
    async def open(cls, pipelines: Path, url: str) -> PlainReads:
        """Returns one that is connected, with hiredis as its parser."""
        client = redis.asyncio.Redis.from_url(url)
        names = KeyNames(PREFIX)
        data: Any = await client.get(names.pointer(STATIC_VIEW))
        generation = Pointer.from_json(STATIC_VIEW, data).generation
        if "Hiredis" not in DefaultParser.__name__:
            raise RuntimeError(f"redis.asyncio reads with {DefaultParser.__name__}, not hiredis")
        plan = lookup_plan(pipelines, STATIC_VIEW)
        return cls(plan, client, names.generation(STATIC_VIEW, generation))

    def prepare(self, ids: NDArray[np.int64]) -> list[str]:
        """Returns the keys."""
        return [f"{self._row_prefix}{number}" for number in ids.tolist()]

    async def call(self, prepared: list[str]) -> Any:
        """Reads."""
        if len(prepared) == 1:
            return [await self._client.get(prepared[0])]
        return await self._client.mget(prepared)

    def values(self, answer: list[bytes]) -> Rows:
        """Returns the features; decoding them is not timed."""
        decoded = self._source.decode(answer, np.zeros(len(answer), np.int64))
        found: Rows = np.concatenate(decoded.values).T
        return found

    async def close(self) -> None:
        """Closes the connection."""
        await self._client.aclose()
