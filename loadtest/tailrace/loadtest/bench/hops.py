"""What a call costs inside each hop: `python -m tailrace.loadtest.bench.hops`.

Every hop is put together as its service does it, in this process, and called with serialised
requests of the flights example, one call at a time: parse, serve, serialise. Redis is real; the
model runs in this process, and is timed alone beside its hop. What gRPC costs is not in here.

Cold: between two calls the process reads more memory than the caches hold, as the others on the
same cores do to a service between two of its calls.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import uvloop
from rich.console import Console
from rich.table import Table

from tailrace.cli.example import load_example
from tailrace.cli.held_out import read_held_out
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.preparation import PreparedExample, prepare
from tailrace.cli.progress import Steps
from tailrace.cli.static_views import load_static_views
from tailrace.client.values import to_value
from tailrace.features import app as features_app
from tailrace.gateway.convoy import ConvoyRow
from tailrace.gateway.lookup_keys import LookupKeys
from tailrace.inference import app as inference_app
from tailrace.ingest import app as ingest_app
from tailrace.loadtest.bench.plain_chain.flight_row import PIPELINE
from tailrace.postprocess import app as postprocess_app
from tailrace.runtime.config import (
    FeaturesSettings,
    InferenceSettings,
    IngestSettings,
    PostprocessSettings,
    ServerSettings,
    load_settings,
)
from tailrace.runtime.hop_parts import HopParts
from tailrace.runtime.logs import configure_logs
from tailrace.runtime.wire import batch_from_proto
from tailrace.v1 import (
    batch_pb2,
    feature_service_pb2,
    inference_service_pb2,
    ingest_service_pb2,
    postprocess_service_pb2,
    tensor_pb2,
)

FIELDS = {
    "carrier", "flight_number", "tailnum", "origin", "dest", "scheduled_departure",
    "scheduled_arrival", "distance",
}  # fmt: skip
STATE_DIR = Path(".tailrace").absolute()
BATCHES = 16
COLD_BYTES = 32 * 1024 * 1024
CACHE_LINE = 64
REQUEST_TYPES: dict[str, Any] = {
    "ingest": ingest_service_pb2.PreprocessRequest,
    "features": feature_service_pb2.LookupFeaturesRequest,
    "inference": inference_service_pb2.InferRequest,
    "postprocess": postprocess_service_pb2.PostprocessRequest,
}

Call = Callable[[bytes], Awaitable[Any]]
Blocks = Sequence[tensor_pb2.ColumnBlock]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is timed.

    Attributes:
        name: for the table.
        rows: rows of each batch.
        call: serves one serialised request.
        batches: the serialised requests.
    """

    name: str
    rows: int
    call: Call
    batches: list[bytes]


class Endless:
    """The context of a call whose caller waits for a minute."""

    def time_remaining(self) -> float:
        """Returns the seconds left."""
        return 60.0


def caller(parts: HopParts[Any, Any]) -> Call:
    """Returns what a server does with the bytes of a request, without the transport."""
    parse = REQUEST_TYPES[parts.hop].FromString
    context = Endless()

    async def call(data: bytes) -> bytes:
        response = await parts.call(parse(data), context)
        serialised: bytes = response.SerializeToString()
        return serialised

    return call


@contextlib.asynccontextmanager
async def hops(prepared: PreparedExample) -> AsyncIterator[dict[str, HopParts[Any, Any]]]:
    """Yields the four hops, ready to be called, on a Redis that holds the static views."""
    pipelines = prepared.example.pipelines_dir
    with tempfile.TemporaryDirectory() as folder:
        server = LocalRedis(log_path=Path(folder) / "redis.log")
        try:
            server.start()
            await asyncio.to_thread(
                load_static_views, prepared.static_views(), pipelines, server.url
            )
            places: dict[str, Any] = {"pipelines_dir": pipelines}
            made: list[HopParts[Any, Any]] = [
                ingest_app.build(IngestSettings(**places)),
                features_app.build(FeaturesSettings(**places, feature_redis_url=server.url)),
                inference_app.build(
                    InferenceSettings(
                        **places,
                        inference_backend="onnxruntime",
                        model_repository=prepared.model_repository,
                    )
                ),
                postprocess_app.build(PostprocessSettings(**places)),
            ]
            for parts in made:
                await asyncio.to_thread(parts.registry.load)
            yield {parts.hop: parts for parts in made}
            for parts in made:
                await parts.close()
        finally:
            server.stop()


def batch(version: str, rows: int, blocks: Blocks = ()) -> batch_pb2.Batch:
    """Returns a batch as the gateway sends it."""
    return batch_pb2.Batch(
        pipeline=PIPELINE,
        pipeline_version=version,
        rows=batch_pb2.RowContexts(
            count=rows,
            request_ids=[uuid.uuid4().hex for _ in range(rows)],
            remaining_us=[1_000_000] * rows,
        ),
        blocks=blocks,
    )


async def answered(parts: HopParts[Any, Any], request: Any) -> Any:
    """Returns a hop's response. Raises ValueError if a row failed."""
    response = await parts.call(request, Endless())
    if response.batch.rows.errors:
        raise ValueError(f"{parts.hop}: {response.batch.rows.errors[0]}")
    return response


async def travel(
    parts: dict[str, HopParts[Any, Any]], flights: Sequence[dict[str, tensor_pb2.Value]]
) -> dict[str, bytes]:
    """Returns the request of every hop for some flights, as they travel the chain."""
    registry = parts["ingest"].registry
    pipeline = next(item for item in registry.pipelines() if item.name == PIPELINE)
    rows, version = len(flights), pipeline.version
    fields = [ingest_service_pb2.RequestFields(fields=flight) for flight in flights]
    convoy = [
        ConvoyRow(PIPELINE, f"{row:032x}", flight.fields, 0, 0, 0)
        for row, flight in enumerate(fields)
    ]
    keys: Any = LookupKeys(pipeline).blocks(convoy, None)
    requests: dict[str, Any] = {
        "ingest": REQUEST_TYPES["ingest"](batch=batch(version, rows), requests=fields),
        "features": REQUEST_TYPES["features"](batch=batch(version, rows, keys)),
    }
    ingested = await answered(parts["ingest"], requests["ingest"])
    found = await answered(parts["features"], requests["features"])
    blocks = [*ingested.batch.blocks, *found.batch.blocks]
    requests["inference"] = REQUEST_TYPES["inference"](batch=batch(version, rows, blocks))
    inferred = await answered(parts["inference"], requests["inference"])
    requests["postprocess"] = REQUEST_TYPES["postprocess"](
        batch=batch(version, rows, inferred.batch.blocks)
    )
    return {hop: request.SerializeToString() for hop, request in requests.items()}


def model_alone(
    prepared: PreparedExample, parts: HopParts[Any, Any], rows: int, requests: Sequence[bytes]
) -> Subject:
    """Returns the model without its hop, on the same rows: what ONNX Runtime takes for them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    compiled = parts.registry.find(PIPELINE)
    file = prepared.model_repository / compiled.model / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(file), options)
    assembler = compiled.assembler

    def tensor(data: bytes) -> bytes:
        message = REQUEST_TYPES["inference"].FromString(data).batch
        found = batch_from_proto(message, rows)
        values = assembler.assemble(found.columns, found.rows.live(), found.rows).tensors
        features: bytes = values["features"].tobytes()
        return features

    async def call(data: bytes) -> object:
        values = np.frombuffer(data, np.float32).reshape(rows, -1)
        return session.run(["probability"], {"features": values})

    return Subject("model alone", rows, call, [tensor(data) for data in requests])


def read_fields(prepared: PreparedExample, count: int) -> list[dict[str, tensor_pb2.Value]]:
    """Returns the fields of held-out flights."""
    section = prepared.example.manifest.held_out
    assert section is not None
    found = read_held_out(prepared.folder / section.file, section, FIELDS, count)
    return [{name: to_value(value, name) for name, value in row.fields.items()} for row in found]


async def slice_us(subject: Subject, calls: int, cold: bytes | None) -> tuple[float, float]:
    """Returns the median wall time and the mean CPU time of some calls, in microseconds."""
    walls_ns: list[int] = []
    cpu_ns = 0
    for place in range(calls):
        data = subject.batches[place % len(subject.batches)]
        if cold is not None:
            np.frombuffer(cold, np.uint8)[::CACHE_LINE].sum()
        begun_cpu_ns, begun_ns = time.process_time_ns(), time.perf_counter_ns()
        await subject.call(data)
        walls_ns.append(time.perf_counter_ns() - begun_ns)
        cpu_ns += time.process_time_ns() - begun_cpu_ns
    return statistics.median(walls_ns) / 1000, cpu_ns / calls / 1000


async def run(options: argparse.Namespace, console: Console) -> None:
    """Measures, prints the table, writes the figures."""
    prepared = await prepare(load_example(options.example), STATE_DIR / "prepared", Steps(console))
    fields = read_fields(prepared, BATCHES * max(options.rows))
    subjects = []
    async with hops(prepared) as parts:
        for rows in options.rows:
            starts = range(0, BATCHES * rows, rows)
            travels = [await travel(parts, fields[start : start + rows]) for start in starts]
            subjects += [
                Subject(hop, rows, caller(parts[hop]), [each[hop] for each in travels])
                for hop in parts
            ]
            requests = [each["inference"] for each in travels]
            subjects.append(model_alone(prepared, parts["inference"], rows, requests))
        results = await compare(subjects, options)
    report(console, subjects, results)
    if options.json is not None:
        figures = {
            f"{subjects[place].name}_{subjects[place].rows}_{kind}": measured
            for (place, kind), measured in results.items()
        }
        options.json.write_text(json.dumps(figures, indent=1))


Results = dict[tuple[int, str], list[tuple[float, float]]]


async def compare(subjects: Sequence[Subject], options: argparse.Namespace) -> Results:
    """Returns the slices of every subject, warm and cold, interleaved repeat by repeat."""
    results: Results = {}
    buffers = {"warm": None, "cold": bytes(COLD_BYTES)}
    for repeat in range(options.repeats + 1):
        for place, subject in enumerate(subjects):
            for kind, buffer in buffers.items():
                calls = options.calls if buffer is None else options.calls // 4
                measured = await slice_us(subject, calls, buffer)
                if repeat:  # the first is the warm-up
                    results.setdefault((place, kind), []).append(measured)
    return results


def report(console: Console, subjects: Sequence[Subject], results: Results) -> None:
    """Prints the medians over the repeats."""
    table = Table(title="microseconds per call: median of the repeats' medians")
    for column in ("hop", "rows", "", "wall", "CPU", "wall per row"):
        table.add_column(column, justify="right")
    for (place, kind), measured in sorted(results.items()):
        subject = subjects[place]
        wall = statistics.median(each for each, _ in measured)
        cpu = statistics.median(each for _, each in measured)
        table.add_row(
            subject.name,
            str(subject.rows),
            kind,
            f"{wall:.0f}",
            f"{cpu:.0f}",
            f"{wall / subject.rows:.2f}",
        )
    console.print(table)


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--example", type=Path, default=Path("examples/flights"))
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--calls", type=int, default=200, help="of a slice; a quarter if cold")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    with open(os.devnull, "w") as nowhere:
        writer = configure_logs(load_settings(ServerSettings), "bench", nowhere)
        uvloop.run(run(options, Console(width=100)))
        writer.close()


if __name__ == "__main__":
    main()
