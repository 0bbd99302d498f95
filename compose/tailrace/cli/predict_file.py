"""Predictions for every line of a file, in order, with a bounded number of calls at once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from tailrace.cli.chunk_reader import MAX_LINE_BYTES, ChunkReader, Line, read_lines
from tailrace.cli.gateway_options import GatewayOptions
from tailrace.cli.json_line import parse_json
from tailrace.client import AsyncClient, Fields, InvalidRequest, Prediction, PredictionError
from tailrace.client.json_values import error_to_json, fields_from_json, prediction_to_json
from tailrace.v1.pipeline_pb2 import RequestField

Outcome = Prediction | PredictionError


@dataclass(frozen=True, slots=True)
class FileRun:
    """What to do with each line.

    Attributes:
        pipeline: name of the pipeline.
        pipeline_version: its version; empty means the current one.
        batch_rows: most lines of one call.
        in_flight: most calls at once.
    """

    pipeline: str
    pipeline_version: str
    batch_rows: int
    in_flight: int


@dataclass(slots=True)
class _Tally:
    predictions: int = 0
    failures: int = 0


async def predict_file(options: GatewayOptions, run: FileRun, file: Path) -> int:
    """Prints one line of JSON per line of the file, in the same order.

    Args:
        options: how to reach the gateway.
        run: what to do with each line.
        file: a JSON object on each line; `-` is standard input.

    Returns:
        The exit status: 1 if any line failed, or nobody reads the results to their end.
    """
    tally, started = _Tally(), time.monotonic()
    async with _lines_of(file) as lines, options.client(connections=run.in_flight) as client:
        try:
            description = await client.describe_pipeline(
                run.pipeline, pipeline_version=run.pipeline_version
            )
            async for numbers, outcomes in _in_order(
                client, run, description.request_fields, lines
            ):
                _print(numbers, outcomes, tally)
        except PredictionError as error:
            print(f"tailrace predict: {error}", file=sys.stderr)
            return 1
        except BrokenPipeError:
            # As `| head` does. What Python would flush at its end goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except OSError as error:
            print(f"tailrace predict: {file} cannot be read: {error.strerror}", file=sys.stderr)
            return 1
    elapsed_s = time.monotonic() - started
    summary = f"{tally.predictions} predictions, {tally.failures} failures in {elapsed_s:.1f} s"
    print(f"tailrace predict: {summary}", file=sys.stderr)
    return 1 if tally.failures else 0


@asynccontextmanager
async def _lines_of(file: Path) -> AsyncIterator[AsyncIterator[list[Line]]]:
    # Unbuffered, so that what comes slowly through a pipe is answered as it comes.
    stream = None
    if str(file) != "-":
        try:
            stream = file.open("rb", buffering=0)
        except OSError as error:
            raise typer.BadParameter(f"--file: {file}: {error.strerror}") from error
    reader = ChunkReader(sys.stdin.fileno() if stream is None else stream.fileno())
    try:
        yield read_lines(reader)
    finally:
        reader.close()
        if stream is not None:
            stream.close()


async def _in_order(
    client: AsyncClient,
    run: FileRun,
    schema: Sequence[RequestField],
    lines: AsyncIterator[list[Line]],
) -> AsyncGenerator[tuple[list[int], list[Outcome]], None]:
    # The place in the queue is taken before a call is made, and freed when its results have
    # been printed: neither calls nor results pile up behind a slow one.
    places = asyncio.Semaphore(run.in_flight)
    calls: asyncio.Queue[tuple[list[int], asyncio.Task[list[Outcome]]] | None] = asyncio.Queue()

    async def call_all() -> None:
        async for batch in _batches(lines, run.batch_rows):
            await places.acquire()
            call = asyncio.create_task(_call(client, run, schema, batch))
            calls.put_nowait(([number for number, _ in batch], call))

    calling = asyncio.create_task(call_all())
    calling.add_done_callback(lambda task: calls.put_nowait(None))
    try:
        while (next_call := await calls.get()) is not None:
            numbers, call = next_call
            yield numbers, await call
            places.release()
        await calling
    finally:
        calling.cancel()
        while not calls.empty():
            left = calls.get_nowait()
            if left is not None:
                left[1].cancel()


async def _batches(lines: AsyncIterator[list[Line]], batch_rows: int) -> AsyncIterator[list[Line]]:
    async for come in lines:
        for start in range(0, len(come), batch_rows):
            yield come[start : start + batch_rows]


async def _call(
    client: AsyncClient, run: FileRun, schema: Sequence[RequestField], batch: list[Line]
) -> list[Outcome]:
    parsed = [_parse(line, schema) for _, line in batch]
    rows = [fields for fields in parsed if not isinstance(fields, PredictionError)]
    try:
        answers = iter(
            await client.predict_batch(run.pipeline, rows, pipeline_version=run.pipeline_version)
        )
    except PredictionError as error:
        return [fields if isinstance(fields, PredictionError) else error for fields in parsed]
    return [fields if isinstance(fields, PredictionError) else next(answers) for fields in parsed]


def _parse(line: bytes | None, schema: Sequence[RequestField]) -> Fields | PredictionError:
    if line is None:
        return InvalidRequest(f"a line longer than {MAX_LINE_BYTES} bytes", reason="LIMIT_EXCEEDED")
    try:
        return fields_from_json(parse_json(line), schema)
    except PredictionError as error:
        return error


def _print(numbers: Sequence[int], outcomes: Sequence[Outcome], tally: _Tally) -> None:
    documents: Iterator[dict[str, Any]] = map(_document, outcomes)
    text = "".join(
        json.dumps({"line": number, **document}, ensure_ascii=False) + "\n"
        for number, document in zip(numbers, documents, strict=True)
    )
    sys.stdout.write(text)
    sys.stdout.flush()
    failures = sum(isinstance(outcome, PredictionError) for outcome in outcomes)
    tally.failures += failures
    tally.predictions += len(outcomes) - failures


def _document(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, PredictionError):
        return {"error": error_to_json(outcome)}
    return prediction_to_json(outcome)
