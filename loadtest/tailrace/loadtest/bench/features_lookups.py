"""Looks features up in all the ways that are compared with Feast, in a process of its own.

`python -m … FOLDER`: reads `lookups.json` there, then an order as JSON per line of its input, and
answers each with a line. One call is made after the other; every answer is compared with the table
that was loaded.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tailrace.loadtest.bench.features_contenders import (
    GrpcLookups,
    HandlerLookups,
    PlainReads,
    Rows,
    WindowedLookups,
)
from tailrace.loadtest.bench.features_fresh import freshness
from tailrace.runtime.event_loop import run

LEAST_CALLS = 30


class Contender(Protocol):
    """A way to look features up."""

    def prepare(self, ids: NDArray[np.int64]) -> Any:
        """Returns what `call` takes for some entities; not timed."""

    def call(self, prepared: Any) -> Awaitable[Any]:
        """Looks them up; timed."""

    def values(self, answer: Any) -> Rows:
        """Returns the features, float64 [rows, 8]; not timed. Raises RuntimeError."""

    async def close(self) -> None:
        """Gives back what it holds."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A contender and what it has to answer.

    Attributes:
        contender: looks up.
        expected: float64 [entities, 8]; None where the answer changes as events come.
        entities: of which keys are drawn.
    """

    contender: Contender
    expected: Rows | None
    entities: int


async def measure(subject: Subject, rows: int, seconds: float, seed: int) -> dict[str, float]:
    """Returns percentiles in µs, the number of calls, and of rows that were wrong."""
    chance = np.random.default_rng(seed)
    contender, expected = subject.contender, subject.expected
    latencies: list[float] = []
    wrong = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(latencies) < LEAST_CALLS:
        ids = chance.integers(0, subject.entities, rows)
        prepared = contender.prepare(ids)
        began = time.perf_counter()
        answer = await contender.call(prepared)
        latencies.append(time.perf_counter() - began)
        values = contender.values(answer)
        if expected is not None:
            wrong += int((values != expected[ids]).any(axis=1).sum())
    p50, p99 = (np.percentile(latencies, [50, 99]) * 1e6).tolist()
    return {"p50_us": p50, "p99_us": p99, "calls": len(latencies), "wrong": wrong}


async def serve(folder: Path) -> None:
    """Carries out orders until the input ends."""
    places = json.loads((folder / "lookups.json").read_text())
    table = np.load(places["table"], mmap_mode="r")
    pipelines = Path(places["pipelines"])
    large = await HandlerLookups.open(pipelines, places["large"])
    small = await HandlerLookups.open(pipelines, places["small"])
    grpc_lookups = GrpcLookups(places["features"])
    plain = await PlainReads.open(pipelines, places["large"])
    windowed = await WindowedLookups.open(pipelines, places["small"])
    few = min(places["small_entities"], len(table))
    subjects = {
        "ours": Subject(large, table, len(table)),
        "small": Subject(small, table, few),
        "grpc": Subject(grpc_lookups, table, len(table)),
        "mget": Subject(plain, table, len(table)),
        "windowed": Subject(windowed, None, places["event_entities"]),
    }
    orders: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
        "slice": lambda order: measure(
            subjects[order["contender"]], order["rows"], order["seconds"], order["seed"]
        ),
        "freshness": lambda order: freshness(
            windowed, places["events"], order["events"], order["first"]
        ),
    }
    gc.collect()
    gc.freeze()
    print("{}", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        print(json.dumps(await orders[order["work"]](order)), flush=True)
    await asyncio.gather(*[subject.contender.close() for subject in subjects.values()])


def main() -> None:
    """Runs on the loop that services run on."""
    run(serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
