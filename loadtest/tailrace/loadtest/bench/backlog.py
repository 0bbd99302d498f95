"""What a backlog of submissions costs those who wait: `python -m tailrace.loadtest.bench.backlog`.

Callers ask at a fixed rate, in turn while nothing else happens and while a dispatcher works through
a backlog that does not end. All else is the same: one mesh of services with ONNX Runtime, on the
flights example. Writes `.bench/backlog.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import redis
import uvloop
from rich.console import Console
from rich.table import Table

from tailrace.cli.example import load_example
from tailrace.cli.health import wait_serving
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.cli.local_mesh import LocalMesh
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.mesh_options import MeshOptions
from tailrace.cli.preparation import PreparedExample, prepare
from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.flight_messages import messages_of, predict_request
from tailrace.loadtest.bench.flights import Flight, read_flights
from tailrace.loadtest.bench.generator.orders import Endpoint, Order
from tailrace.loadtest.bench.generators import Generators
from tailrace.loadtest.bench.plain_chain.feature_rows import load_rows
from tailrace.loadtest.bench.plain_chain.flight_row import PIPELINE, read_model
from tailrace.loadtest.bench.spread import Spread
from tailrace.runtime.config import QueueSettings, TransportSettings, load_settings
from tailrace.runtime.placement import HOPS
from tailrace.submissions.ids import new_prediction_id
from tailrace.submissions.open_queue import Queue, open_queue
from tailrace.submissions.records import NewSubmission, State
from tailrace.v1 import ledger_pb2

STATE_DIR = Path(".tailrace").absolute()
PARTITIONS = 8
GROUP = 256
READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of one repeat.

    Attributes:
        p50_ms: median latency of the callers, from when they should have asked.
        p99_ms: 99th percentile.
        failed: calls without an answer.
        results: submissions that got their result, per second.
    """

    p50_ms: float
    p99_ms: float
    failed: int
    results: float


class BacklogBench:
    """Runs the parts."""

    def __init__(
        self,
        options: argparse.Namespace,
        queue: Queue,
        dispatcher: MeshProcess,
        generators: Generators,
        endpoint: Endpoint,
        requests: Sequence[bytes],
    ) -> None:
        """Keeps the parts.

        Args:
            options: from the command line.
            queue: filled here.
            dispatcher: started and stopped here.
            generators: the callers.
            endpoint: what they call.
            requests: what is submitted, in turn.
        """
        self._options = options
        self._queue = queue
        self._dispatcher = dispatcher
        self._generators = generators
        self._endpoint = endpoint
        self._requests = requests

    async def alone(self, rate: float) -> Slice:
        """Callers, and nobody else."""
        return await self._ask(rate)

    async def beside(self, rate: float) -> Slice:
        """Callers, and a dispatcher with a backlog."""
        async with self._dispatching():
            return await self._ask(rate)

    async def backlog_alone(self) -> float:
        """Returns the results per second of a dispatcher without callers."""
        async with self._dispatching():
            before, begun = await self._succeeded(), time.monotonic()
            await asyncio.sleep(self._options.seconds)
            return (await self._succeeded() - before) / (time.monotonic() - begun)

    async def _ask(self, rate: float) -> Slice:
        before, begun = await self._succeeded(), time.monotonic()
        outcome = await self._generators.load(
            Order(
                work="open",
                endpoint=self._endpoint,
                rate=rate,
                connections=8,
                ramp_s=1.0,
                seconds=self._options.seconds,
            )
        )
        results = (await self._succeeded() - before) / (time.monotonic() - begun)
        p50, p99 = np.percentile(outcome.latencies_us, [50, 99]) / 1000
        return Slice(float(p50), float(p99), sum(outcome.failed.values()), results)

    @asynccontextmanager
    async def _dispatching(self) -> AsyncIterator[None]:
        await self._fill()
        self._dispatcher.launch()
        await asyncio.to_thread(self._dispatcher.wait_ready)
        await wait_serving(
            "dispatcher", self._dispatcher.target, load_settings(TransportSettings), READY_TIMEOUT_S
        )
        try:
            yield
            left = await self._count(State.QUEUED)
            if not left:
                raise RuntimeError("the backlog came to its end; ask for a longer one: --backlog")
        finally:
            await asyncio.to_thread(self._dispatcher.stop)

    async def _fill(self) -> None:
        store = self._queue.submissions
        missing = self._options.backlog - await self._count(State.QUEUED)
        for group in range(max(0, missing) // GROUP):
            partition = group % PARTITIONS
            first = group * GROUP
            await store.submit(
                partition,
                [
                    NewSubmission(
                        prediction_id=new_prediction_id(partition),
                        tenant="",
                        idempotency_key="",
                        body_digest=bytes(32),
                        pipeline=PIPELINE,
                        request_id="",
                        ordering_key="",
                        priority=2,
                        request=self._requests[(first + place) % len(self._requests)],
                        callback=None,
                        not_after_ms=None,
                    )
                    for place in range(GROUP)
                ],
            )

    async def _succeeded(self) -> int:
        return await self._count(State.SUCCEEDED)

    async def _count(self, state: State) -> int:
        counts = [await self._queue.submissions.counts(each) for each in range(PARTITIONS)]
        return sum(each.states[state] for each in counts)


async def run(options: argparse.Namespace, console: Console) -> None:
    """Starts everything, measures, reports, stops everything."""
    steps = Steps(console)
    prepared = await prepare(load_example(options.example), STATE_DIR / "prepared", steps)
    folder = MeshFolder(STATE_DIR, "bench-backlog")
    mesh_options = MeshOptions(
        inference_backend="onnxruntime",
        submissions=False,
        cache_dir=STATE_DIR / "cache",
        transport=load_settings(TransportSettings),
    )
    with folder.claimed():
        mesh = LocalMesh(folder, prepared, mesh_options, steps)
        queue_redis = LocalRedis(
            log_path=folder.path / "queue.log", append_only=True, append_fsync="everysec"
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(mesh.stop)
            await mesh.start()
            stack.push_async_callback(asyncio.to_thread, queue_redis.stop)
            queue_redis.start()
            bench = await _bench(options, stack, folder, prepared, mesh, queue_redis)
            figures = await _measure(options, bench, steps)
    _report(console, figures)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")


async def _bench(
    options: argparse.Namespace,
    stack: AsyncExitStack,
    folder: MeshFolder,
    prepared: PreparedExample,
    mesh: LocalMesh,
    queue_redis: LocalRedis,
) -> BacklogBench:
    targets = {f"TAILRACE_{hop.upper()}_TARGET": mesh.mesh_processes[hop].target for hop in HOPS}
    queue_settings = QueueSettings(
        queue_redis_url=queue_redis.url, queue_partitions=PARTITIONS, queue_durability="everysec"
    )
    dispatcher = MeshProcess(
        "dispatcher",
        run_dir=folder.path,
        settings={
            "TAILRACE_PIPELINES_DIR": str(prepared.example.pipelines_dir),
            "TAILRACE_QUEUE_REDIS_URL": queue_redis.url,
            "TAILRACE_QUEUE_PARTITIONS": str(PARTITIONS),
            "TAILRACE_QUEUE_DURABILITY": "everysec",
            **targets,
        },
    )
    queue = await stack.enter_async_context(open_queue(queue_settings, "bench"))
    generators = stack.enter_context(Generators(1))
    messages = messages_of(_flights(prepared, mesh), 1, predict_request)
    file = folder.path / "messages.json"
    messages.write(file)
    endpoint = Endpoint(
        target=mesh.gateway_target,
        method="/tailrace.v1.PredictionService/Predict",
        messages_file=str(file),
        answers="mesh",
        placement=ledger_pb2.PLACEMENT_REMOTE,
    )
    return BacklogBench(options, queue, dispatcher, generators, endpoint, messages.data)


def _flights(prepared: PreparedExample, mesh: LocalMesh) -> list[Flight]:
    assert mesh.redis is not None
    model = read_model(prepared.example.pipelines_dir)
    with redis.Redis.from_url(mesh.redis.url) as client:
        load_rows(client, model, prepared.static_views())
        return read_flights(prepared, model, client)


async def _measure(
    options: argparse.Namespace, bench: BacklogBench, steps: Steps
) -> dict[str, object]:
    slices: dict[str, list[Slice]] = {}
    drained: list[float] = []
    await bench.alone(options.rates[0])
    for repeat in range(options.repeats):
        with steps.step(f"Repeat {repeat + 1} of {options.repeats}"):
            for rate in options.rates:
                slices.setdefault(f"alone_{rate:g}", []).append(await bench.alone(rate))
                slices.setdefault(f"backlog_{rate:g}", []).append(await bench.beside(rate))
            drained.append(await bench.backlog_alone())
    figures: dict[str, object] = {"results_per_s_without_callers": statistics.median(drained)}
    for name, measured in slices.items():
        for part in ("p50_ms", "p99_ms", "results"):
            spread = Spread.of([getattr(each, part) for each in measured])
            figures[f"{name}_{part}"] = spread.median
            figures[f"{name}_{part}_spread"] = spread.text()
        figures[f"{name}_failed"] = sum(each.failed for each in measured)
    for rate in options.rates:
        pairs = zip(slices[f"alone_{rate:g}"], slices[f"backlog_{rate:g}"], strict=True)
        figures[f"p99_ratio_{rate:g}"] = statistics.median(
            loaded.p99_ms / alone.p99_ms for alone, loaded in pairs
        )
    return figures


def _report(console: Console, figures: dict[str, object]) -> None:
    table = Table(title="medians (min–max) over interleaved repeats")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in figures.items():
        if name.endswith(("_spread", "_failed")) or "ratio" in name or "without" in name:
            text = f"{value:.2f}" if isinstance(value, float) else str(value)
            table.add_row(name.removesuffix("_spread"), text)
    console.print(table)


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(prog="python -m tailrace.loadtest.bench.backlog")
    parser.add_argument("--example", type=Path, default=Path("examples/flights"))
    parser.add_argument("--rates", type=float, nargs="+", default=[50.0, 200.0], help="calls/s")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each part")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--backlog", type=int, default=60_000, help="submissions that wait")
    parser.add_argument("--json", type=Path, default=Path(".bench/backlog.json"))
    uvloop.run(run(parser.parse_args(), Console(width=120)))


if __name__ == "__main__":
    main()
