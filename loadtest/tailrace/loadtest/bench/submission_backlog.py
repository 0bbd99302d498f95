"""A long backlog: submitted while nobody runs it, then drained; what it takes of memory."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import redis
from rich.console import Console

from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.delivery_feed import FeedReader
from tailrace.loadtest.bench.generators import Generators
from tailrace.loadtest.bench.process_usage import ProcessUsage
from tailrace.loadtest.bench.soak import growth_between
from tailrace.loadtest.bench.submission_loads import check_ids
from tailrace.loadtest.bench.submission_run import MANY
from tailrace.loadtest.bench.submission_servers import SubmissionServers

_WARM_SHARE = 0.1
_SILENCE_S = 60.0
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """How far a drain has come.

    Attributes:
        delivered: results taken by the receiver.
        resident: resident memory of each process, in bytes.
    """

    delivered: int
    resident: Mapping[str, float]


async def drain_backlog(
    servers: SubmissionServers,
    generators: Generators,
    folder: Path,
    steps: Steps,
    console: Console,
    rows: int,
) -> dict[str, object]:
    """Returns the figures of submitting so many and draining them.

    Raises:
        RuntimeError: something is lost, delivered twice, or wrong.
    """
    assert servers.mesh.queue_redis is not None
    await servers.stop_dispatcher()
    order = dataclasses.replace(
        MANY.order(folder, servers.targets["everysec"], servers.feed),
        feed="",
        rows=rows,
        ramp_s=0.0,
        seconds=3600.0,
    )
    with redis.Redis.from_url(servers.mesh.queue_redis.url) as client:
        empty_bytes = _used_bytes(client)
        with steps.step(f"Submitting {rows:,}") as step:
            begun = time.monotonic()
            outcome = await generators.load(order)
            submitted_per_s = outcome.answered / (time.monotonic() - begun)
            step.tell(f"{submitted_per_s:,.0f} per second; refused: {outcome.failed or 'none'}")
        full_bytes = _used_bytes(client)
        async with FeedReader(str(servers.feed)) as feed:
            await servers.start_dispatcher()
            usage = ProcessUsage({**servers.pids(), "generator": generators.pids})
            with steps.step("Draining") as step:
                begun, before = time.monotonic(), feed.taken
                samples: list[Sample] = []
                while feed.taken < outcome.answered:
                    async with asyncio.timeout(_SILENCE_S):
                        await feed.changed()
                    # So often that the tenth is met well enough.
                    if not samples or feed.taken - samples[-1].delivered > outcome.answered / 100:
                        samples.append(Sample(feed.taken, usage.resident_bytes()))
                        step.tell(f"{feed.taken:,}")
                drained_per_s = (feed.taken - before) / (time.monotonic() - begun)
                samples.append(Sample(feed.taken, usage.resident_bytes()))
        drained_bytes = _used_bytes(client)
    taken = await servers.taken()
    check_ids(outcome, taken)
    if taken.wrong:
        raise RuntimeError(f"{taken.wrong} results differ from the synchronous answers")
    warm = next(one for one in samples if one.delivered >= outcome.answered * _WARM_SHARE)
    processes = tuple(name for name in (*MANY.processes, "generator") if name in warm.resident)
    growth = growth_between(warm.resident, samples[-1].resident, processes)
    peak = {name: max(one.resident[name] for one in samples) for name in processes}
    console.print(
        f"{outcome.answered:,} submitted at {submitted_per_s:,.0f}/s, drained at "
        f"{drained_per_s:,.0f}/s; Redis has {(full_bytes - empty_bytes) / outcome.answered:,.0f} "
        f"bytes for each that waits, and {(drained_bytes - empty_bytes) / outcome.answered:,.0f} "
        "for each that is kept until its time is over"
    )
    parts = (
        f"{name} {one.warm_bytes / _MIB:.1f} {one.grown_bytes / _MIB:+.1f} "
        f"(most {peak[name] / _MIB:.1f})"
        for name, one in growth.items()
    )
    console.print(f"resident MiB after the first tenth, and growth: {', '.join(parts)}")
    return {
        "submissions": outcome.answered,
        "submitted_per_s": submitted_per_s,
        "drained_per_s": drained_per_s,
        "redis_bytes_per_waiting": (full_bytes - empty_bytes) / outcome.answered,
        "redis_bytes_per_kept": (drained_bytes - empty_bytes) / outcome.answered,
        "resident_bytes": {name: asdict(one) for name, one in growth.items()},
        "most_resident_bytes": peak,
        "degraded": taken.degraded,
    }


def _used_bytes(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])
