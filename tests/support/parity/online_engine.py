"""The whole online engine over a real Redis: events as the service takes them in, and lookups."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from tailrace.features.events.applier import Applier, Lane
from tailrace.features.events.catalog import EventCatalog
from tailrace.features.events.durability import DurabilityCheck
from tailrace.features.events.intake import EventIntake
from tailrace.features.events.problem import BatchOutcome
from tailrace.features.handler import FeatureHandler
from tailrace.features.plan import compile_lookup
from tailrace.features.redis_link import RedisLink
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.state import FeatureState
from tailrace.features.windows.writer import RedisWindowWriter
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Array, Columns, DType, column_block
from tailrace.runtime.pipeline.directory import load_directory, load_views
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.v1.event_service_pb2 import Event

_PIPELINE = "parity"
_NO_DEADLINE_NS = 2**62
_MAX_KEYS = 2**31


def write_files(
    folder: Path, events: Iterable[Mapping[str, Any]], views: Sequence[Mapping[str, Any]]
) -> Path:
    """Writes event types, views, and a pipeline that looks all views up; returns its folder.

    Every view is asked for an instant that a request names.
    """
    for part in ("pipelines", "features", "events"):
        (folder / part).mkdir(parents=True)
    for event in events:
        (folder / "events" / f"{event['event']}.yaml").write_text(yaml.safe_dump(dict(event)))
    fields: dict[str, Any] = {"x": {"type": "double"}, "at": {"type": "timestamp"}}
    uses = []
    for view in views:
        (folder / "features" / f"{view['view']}.yaml").write_text(yaml.safe_dump(dict(view)))
        names = {key["name"]: f"{view['view']}_{key['name']}" for key in view["keys"]}
        for key in view["keys"]:
            fields[names[key["name"]]] = {"type": key.get("type", "string")}
        keys = {key: f"request.{field}" for key, field in names.items()}
        uses.append({"view": view["view"], "keys": keys, "at": "request.at"})
    pipeline = {
        "pipeline": _PIPELINE,
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
    (folder / "pipelines" / f"{_PIPELINE}.yaml").write_text(yaml.safe_dump(pipeline))
    return folder / "pipelines"


class OnlineEngine:
    """Takes events in and looks features up, as the services do, in one process."""

    def __init__(self, pipelines: Path, intake: EventIntake, store: RedisFeatureStore) -> None:
        content = load_directory(pipelines)
        assert not content.errors, content.errors
        self.views: dict[str, FeatureView] = load_views(pipelines.parent / "features").views
        self._plan = compile_lookup(content.pipelines[_PIPELINE])
        self._version = content.pipelines[_PIPELINE].version
        self._intake = intake
        self._handler = FeatureHandler(store, max_keys=_MAX_KEYS)

    async def take(self, event: str, events: Sequence[Event]) -> BatchOutcome:
        """Returns what became of events of one type, once lookups see them."""
        return await self._intake.begin(event, events, Lane()).outcome()

    async def look_up(
        self, keys: Mapping[str, pa.Array[Any]], at_us: NDArray[np.int64]
    ) -> dict[str, Array]:
        """Returns the columns `<view>.<feature>` and `<view>.missing` at the instants.

        Args:
            keys: key columns by name; views whose keys have one name share the column.
            at_us: int64 [rows], microseconds since 1970.
        """
        count = len(at_us)
        columns = Columns(count)
        for view in self._plan.views:
            for key in self.views[view.name].keys:
                values, present = _numpy(keys[key.name], key.dtype)
                column = f"{view.name}.{key.name}"
                columns.extend([column_block(column, key.dtype, values, present)])
            columns.extend([column_block(f"{view.name}.@at", DType.TIMESTAMP, at_us)])
        rows = Rows([f"row-{row}" for row in range(count)], [_NO_DEADLINE_NS] * count)
        batch = Batch(_PIPELINE, self._version, rows, columns)
        found = await self._handler.handle(batch, self._plan)
        assert not rows.failures, rows.failures
        result = {
            name: block.values[place]
            for block in found.columns.blocks
            for place, name in enumerate(block.names)
        }
        for outcome in found.views:
            result[f"{outcome.view}.missing"] = outcome.states == FeatureState.MISSING
        return result


@contextlib.asynccontextmanager
async def online_engine(
    pipelines: Path, redis_url: str, prefix: str
) -> AsyncIterator[OnlineEngine]:
    """Yields an engine over the files beside a folder of pipelines and a Redis.

    Args:
        pipelines: as `write_files` returned it.
        redis_url: of a real Redis.
        prefix: what all keys begin with; another one sees nothing of it.
    """
    link = RedisLink(redis_url, client_name="parity-events")
    store = RedisFeatureStore(redis_url, prefix=prefix)
    catalog = EventCatalog(pipelines)
    catalog.load()
    applier = Applier(
        RedisWindowWriter(link, prefix),
        DurabilityCheck(link, "none"),
        group_max=10_000,
        timeout_s=60.0,
    )
    try:
        yield OnlineEngine(pipelines, EventIntake(catalog, applier), store)
    finally:
        await applier.close()
        await link.close()
        await store.close()


def _numpy(column: pa.Array[Any], dtype: DType) -> tuple[Array, NDArray[np.bool_] | None]:
    """Returns values, and where there is one."""
    empty: Any = "" if dtype.is_ragged else 0
    numbers: Any = column.cast(pa.int64()) if dtype is DType.TIMESTAMP else column
    cells = numbers.to_pylist()
    values: Array = np.empty(len(cells), dtype.numpy)
    values[:] = [empty if cell is None else cell for cell in cells]
    present = np.array([cell is not None for cell in cells], np.bool_)
    return values, None if present.all() else present
