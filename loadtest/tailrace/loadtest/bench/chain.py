"""`make bench`: the mesh beside its baselines, one machine, one run, interleaved.

Starts a mesh with remote placement on the flights example, the plain chain beside it on the
same Redis and Triton, and asks all contenders for the same flights, in turn, repeat by
repeat. Prints a table and writes `.bench/chain.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import numpy as np
import redis
import uvloop
from rich.console import Console
from rich.table import Table
from tritonclient.utils import InferenceServerException

from tailrace.cli.example import load_example
from tailrace.cli.local_mesh import LocalMesh
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.mesh_options import MeshOptions
from tailrace.cli.preparation import prepare
from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.agreement import largest_difference
from tailrace.loadtest.bench.contenders import (
    BareTriton,
    Contender,
    Mesh,
    PlainChain,
)
from tailrace.loadtest.bench.flights import Flight, read_flights
from tailrace.loadtest.bench.plain_chain.feature_rows import load_rows
from tailrace.loadtest.bench.plain_chain.flight_row import read_model
from tailrace.loadtest.bench.plain_mesh import PlainMesh
from tailrace.loadtest.bench.spread import Spread
from tailrace.runtime.config import TransportSettings, load_settings

STATE_DIR = Path(".tailrace").absolute()
CHECKED_ROWS = 200
# A terminal's usual width would cut the figures.
TABLE_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Slice:
    """One contender's part of one repeat.

    Attributes:
        p50_ms: median latency.
        p99_ms: 99th percentile of latency.
        rate: answers per second.
        failed: calls without an answer; they are in none of the other figures.
    """

    p50_ms: float
    p99_ms: float
    rate: float
    failed: int


async def measure(
    contender: Contender, flights: Iterator[Flight], calls: int, concurrency: int
) -> Slice:
    """Returns what `calls` calls took, `concurrency` of them in flight at any time."""
    latencies_ns: list[int] = []

    async def caller(count: int) -> None:
        for _ in range(count):
            flight = next(flights)
            begun_ns = time.perf_counter_ns()
            try:
                await contender.call(flight)
            except (grpc.aio.AioRpcError, InferenceServerException):
                continue
            latencies_ns.append(time.perf_counter_ns() - begun_ns)

    begun = time.perf_counter()
    await asyncio.gather(*(caller(calls // concurrency) for _ in range(concurrency)))
    elapsed_s = time.perf_counter() - begun
    p50, p99 = np.percentile(latencies_ns, [50, 99]) / 1e6
    answered = len(latencies_ns)
    failed = calls // concurrency * concurrency - answered
    return Slice(float(p50), float(p99), answered / elapsed_s, failed)


async def compare(
    contenders: Sequence[Contender], flights: Sequence[Flight], options: argparse.Namespace
) -> dict[int, dict[str, list[Slice]]]:
    """Returns the slices of every contender by concurrency, interleaved repeat by repeat."""
    results: dict[int, dict[str, list[Slice]]] = {}
    for concurrency in options.concurrency:
        slices: dict[str, list[Slice]] = {contender.name: [] for contender in contenders}
        supply = itertools.cycle(flights)
        for repeat in range(options.repeats + 1):
            for contender in contenders:
                calls = options.calls * (1 if concurrency == 1 else 4)
                measured = await measure(contender, supply, calls, concurrency)
                if repeat:  # the first is the warm-up
                    slices[contender.name].append(measured)
        results[concurrency] = slices
    return results


def report(
    console: Console, results: dict[int, dict[str, list[Slice]]], mesh: Mesh, difference: float
) -> dict[str, object]:
    """Prints the table and returns the figures by name."""
    table = Table(title="medians (min–max) over interleaved repeats")
    for column in (
        "concurrency",
        "contender",
        "p50 ms",
        "p99 ms",
        "per second",
        "p50 / plain",
        "failed",
    ):
        table.add_column(column, justify="right")
    figures: dict[str, object] = {"largest_difference": difference}
    for concurrency, slices in results.items():
        for name, measured in slices.items():
            ratios = [
                own.p50_ms / plain.p50_ms
                for own, plain in zip(measured, slices["plain chain"], strict=True)
            ]
            table.add_row(
                str(concurrency),
                name,
                Spread.of([item.p50_ms for item in measured]).text(),
                Spread.of([item.p99_ms for item in measured]).text(),
                Spread.of([item.rate for item in measured]).text(0),
                Spread.of(ratios).text(),
                str(sum(item.failed for item in measured)),
            )
            key = f"{name.replace(' ', '_').lower()}_c{concurrency}"
            figures[f"{key}_p50_ms"] = statistics.median(item.p50_ms for item in measured)
            figures[f"{key}_p99_ms"] = statistics.median(item.p99_ms for item in measured)
            figures[f"{key}_rate"] = statistics.median(item.rate for item in measured)
            figures[f"{key}_p50_over_chain"] = statistics.median(ratios)
            figures[f"{key}_failed"] = sum(item.failed for item in measured)
    figures["unattributed_median"] = statistics.median(mesh.unattributed)
    console.print(table)
    console.print(
        f"unattributed share of the gateway's time, median: {figures['unattributed_median']:.1%}; "
        f"largest difference between contenders' answers: {difference:.1e}"
    )
    return figures


async def run(options: argparse.Namespace, console: Console) -> None:
    """Starts everything, measures, reports, stops everything."""
    steps = Steps(console)
    prepared = await prepare(load_example(options.example), STATE_DIR / "prepared", steps)
    folder = MeshFolder(STATE_DIR, "bench")
    mesh_options = MeshOptions(
        inference_backend="triton",
        cache_dir=STATE_DIR / "cache",
        transport=load_settings(TransportSettings),
    )
    with folder.claimed():
        local = LocalMesh(folder, prepared, mesh_options, steps)
        plain: PlainMesh | None = None
        try:
            await local.start()
            assert local.redis is not None and local.triton is not None
            model = read_model(prepared.example.pipelines_dir)
            with redis.Redis.from_url(local.redis.url) as client:
                load_rows(client, model, prepared.static_views())
                flights = read_flights(prepared, model, client)
            plain = PlainMesh(
                folder.path,
                prepared.example.pipelines_dir,
                local.redis.url,
                local.triton.grpc_target,
            )
            plain.start()
            mesh = Mesh(local.gateway_target)
            contenders: list[Contender] = [
                BareTriton(local.triton.grpc_target, model), PlainChain(plain.target), mesh,
            ]  # fmt: skip
            scores = {
                contender.name: [await contender.call(flight) for flight in flights[:CHECKED_ROWS]]
                for contender in contenders
            }
            difference = largest_difference(scores)
            mesh.unattributed.clear()
            results = await compare(contenders, flights, options)
            for contender in contenders:
                await contender.close()
        finally:
            if plain is not None:
                plain.stop()
            await local.stop()
    figures = report(console, results, mesh, difference)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {options.json}")


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(prog="python -m tailrace.loadtest.bench.chain")
    parser.add_argument("--example", type=Path, default=Path("examples/flights"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--calls", type=int, default=200, help="calls per contender and repeat")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--json", type=Path, default=Path(".bench/chain.json"))
    uvloop.run(run(parser.parse_args(), Console(width=TABLE_WIDTH)))


if __name__ == "__main__":
    main()
