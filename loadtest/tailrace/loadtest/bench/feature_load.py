"""How fast a static view is loaded, and what that takes: `python -m … [ENTITIES]`.

Loads a Parquet file of eight float32 features into a Redis of its own, then again: the second load
replaces the first, and removes its rows.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.loader import load_view
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.pipeline.feature_view import FeatureView

FEATURES = 8
LOADS = 2


def main() -> None:
    """Prints a line a load."""
    entities = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "account.parquet"
        random = np.random.default_rng(0)
        columns = {
            f"f{number}": pa.array(random.normal(size=entities), pa.float64()).cast(pa.float32())
            for number in range(FEATURES)
        }
        ids = pa.array([f"account-{number:07d}" for number in range(entities)])
        parquet.write_table(pa.table({"id": ids, **columns}), file)
        server = LocalRedis(log_path=Path(folder) / "redis.log")
        server.start()
        try:
            asyncio.run(_measure(file, server.url))
        finally:
            server.stop()


async def _measure(file: Path, url: str) -> None:
    features = [{"name": f"f{number}", "type": "float32"} for number in range(FEATURES)]
    content = {"view": "account", "entity": "account", "keys": [{"name": "id"}]}
    view = FeatureView.model_validate({**content, "features": features})
    link = RedisLink(url, client_name="bench")
    empty = await _used(link, "memory", "used_memory")
    for number in range(1, LOADS + 1):
        cpu, redis_cpu = time.process_time(), await _cpu_s(link)
        report = await load_view(view, file, link=link, prefix="bench")
        cpu, redis_cpu = time.process_time() - cpu, await _cpu_s(link) - redis_cpu
        used = await _used(link, "memory", "used_memory") - empty
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"load {number}: {report.seconds:.1f} s, {report.rows / report.seconds:,.0f} rows/s; "
            f"CPU {cpu:.1f} s here, {redis_cpu:.1f} s in Redis; {used / report.rows:.0f} bytes "
            f"an entity in Redis; peak {peak_mb:.0f} MB here",
            flush=True,
        )
    await link.close()


async def _cpu_s(link: RedisLink) -> float:
    parts = ("used_cpu_sys", "used_cpu_user")
    return sum([await _used(link, "cpu", part) for part in parts])


async def _used(link: RedisLink, section: str, name: str) -> float:
    lines = (await link.call("INFO", section)).decode().splitlines()
    return float(dict(line.split(":", 1) for line in lines if ":" in line)[name])


if __name__ == "__main__":
    main()
