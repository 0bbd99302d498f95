"""What windowed views cost: CPU per event and per read, and bytes, by window and tiles.

`python -m tailrace.loadtest.bench.windows` starts a Redis of its own and prints a table. CPU
times of Redis and of this process say more than rates where others use the machine.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uvloop

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.redis_link import RedisLink
from tailrace.features.redis_store import RedisFeatureStore
from tailrace.features.windows.schema import WindowSchema, window_schema
from tailrace.features.windows.updates import EVENT_ID_BYTES, Update
from tailrace.features.windows.window_rows import WindowRows
from tailrace.features.windows.writer import RedisWindowWriter
from tailrace.runtime.pipeline.feature_view import FeatureView

FUNCTIONS = ("count", "sum", "min", "max", "mean")
FIVE = (("1m", "5s"), ("5m", "10s"), ("1h", "1m"), ("6h", "5m"), ("1d", "15m"))
MINUTE_US = 60_000_000
CASES: tuple[tuple[str, tuple[tuple[str, str], ...], int], ...] = (
    ("1 h of 60 tiles", (("1h", "1m"),), MINUTE_US),
    ("1 d of 60 tiles", (("1d", "24m"),), 24 * MINUTE_US),
    ("30 d of 60 tiles", (("30d", "12h"),), 720 * MINUTE_US),
    ("1 d of 480 tiles", (("1d", "3m"),), 3 * MINUTE_US),
    ("30 d of 480 tiles", (("30d", "90m"),), 90 * MINUTE_US),
)
ENTITIES = 100
RANDOM_ENTITIES = 100_000
BATCH = 2000
START_US = 1_370_000_000_000_000
_PREFIX = "bench"


@dataclass
class Bench:
    """A Redis and what reads and writes it."""

    link: RedisLink
    writer: RedisWindowWriter
    store: RedisFeatureStore
    chance: random.Random

    async def redis_cpu_s(self) -> float:
        """Returns the CPU time that Redis has taken, seconds."""
        text: bytes = await self.link.call("INFO", "cpu")
        found = dict(line.split(":") for line in text.decode().split() if ":" in line)
        return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])

    async def write(self, schema: WindowSchema, updates: Sequence[Update]) -> str:
        """Applies events, and returns what that took."""
        redis_s, own_s, began = await self.redis_cpu_s(), time.process_time(), time.perf_counter()
        for start in range(0, len(updates), BATCH):
            await self.writer.apply(schema, updates[start : start + BATCH])
        took_s = time.perf_counter() - began
        own_us = (time.process_time() - own_s) / len(updates) * 1e6
        redis_us = (await self.redis_cpu_s() - redis_s) / len(updates) * 1e6
        rate = len(updates) / took_s
        return f"{rate:7,.0f} events/s, CPU per event: Redis {redis_us:.1f}, writer {own_us:.1f} µs"

    async def read(self, rows: WindowRows, count: int, at_us: int) -> str:
        """Reads entities again and again, and returns what that took."""
        times: list[float] = []
        turns = 300 if count == 1 else 40
        redis_s, own_s = await self.redis_cpu_s(), time.process_time()
        for _ in range(turns):
            keys = [f"k{number}" for number in self.chance.sample(range(ENTITIES), count)]
            instants = np.full(count, at_us)
            began = time.perf_counter()
            (found,) = await self.store.read([rows.read(keys, instants)])
            rows.decode([row for row in found.rows if row is not None], instants)
            times.append(time.perf_counter() - began)
        own_us = (time.process_time() - own_s) / turns * 1e6
        redis_us = (await self.redis_cpu_s() - redis_s) / turns * 1e6
        p50 = float(np.median(times)) * 1e6
        return (
            f"{count:3d} rows p50 {p50:6.0f} µs, CPU: Redis {redis_us:.0f}, reader {own_us:.0f} µs"
        )

    async def bytes_of(self, prefix: str) -> int:
        """Returns the memory of all keys that begin so."""
        keys = await self.link.call("KEYS", f"{prefix}*")
        return sum([int(await self.link.call("MEMORY", "USAGE", key)) for key in keys])

    def update(self, key: str, time_us: int) -> Update:
        """Returns an event of one random amount."""
        return Update(key, self.chance.randbytes(EVENT_ID_BYTES), time_us, (self.chance.random(),))


def bench_view(name: str, windows: Sequence[tuple[str, str]]) -> FeatureView:
    """Returns a view of four aggregates, and the mean, over each window and its tile."""
    features = [
        {
            "name": f"{function}_{window}",
            "type": "float64",
            "aggregate": {"function": function, "of": "x", "window": window, "tile": tile},
        }
        for window, tile in windows
        for function in FUNCTIONS
    ]
    source = {"type": "events", "event": "ev", "tile": "1m"}
    content = {"view": name, "entity": "e", "keys": [{"name": "id"}], "features": features}
    return FeatureView.model_validate({**content, "source": source})


async def main() -> None:
    """Measures, and prints."""
    with tempfile.TemporaryDirectory() as folder:
        server = LocalRedis(log_path=Path(folder) / "redis.log")
        server.start()
        link = RedisLink(server.url, client_name="bench")
        store = RedisFeatureStore(server.url, prefix=_PREFIX)
        try:
            writer = RedisWindowWriter(link, _PREFIX)
            await _measure(Bench(link, writer, store, random.Random(1)))
        finally:
            await link.close()
            await store.close()
            server.stop()


async def _measure(bench: Bench) -> None:
    for number, (label, windows, tile_us) in enumerate(CASES):
        view = bench_view(f"v{number}", windows)
        schema, rows, tiles = window_schema(view), WindowRows(view), 700
        updates = [
            bench.update(f"k{key}", START_US + tile * tile_us)
            for tile in range(tiles)
            for key in range(ENTITIES)
        ]
        print(f"{label}, a new tile with each event: {await bench.write(schema, updates)}")
        memory = await bench.bytes_of(f"{_PREFIX}:fw:{{v{number}:1:k7}}")
        print(f"    one entity {memory:,} bytes")
        at_us = START_US + (tiles - 1) * tile_us
        for count in (1, 100):
            print(f"    {await bench.read(rows, count, at_us)}")
    schema = window_schema(bench_view("five", FIVE))
    for turn in range(3):
        updates = [
            bench.update(f"k{bench.chance.randrange(RANDOM_ENTITIES)}", START_US + number * 100)
            for number in range(turn * RANDOM_ENTITIES, (turn + 1) * RANDOM_ENTITIES)
        ]
        print(f"five windows, {RANDOM_ENTITIES:,} entities: {await bench.write(schema, updates)}")


if __name__ == "__main__":
    uvloop.run(main())
