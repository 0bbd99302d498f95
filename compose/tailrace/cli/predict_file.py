"""Predictions for every line of a file, in order, with a bounded number under way at once."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailrace.cli.chunk_reader import Line
from tailrace.cli.gateway_options import GatewayOptions
from tailrace.cli.line_blocks import LineBlock, Outcome, RowQueue, RowTaker
from tailrace.cli.row_lines import batches, lines_of, parse_row
from tailrace.client import AsyncClient, PredictionError
from tailrace.client.json_values import error_to_json, prediction_to_json
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.v1.pipeline_pb2 import RequestField

_ENCODE = json.JSONEncoder(ensure_ascii=False).encode
# Of batches: some are read or printed while others are under way.
_BLOCKS_PER_STREAM = 2
_MESSAGES_PER_STREAM = 2


@dataclass(frozen=True, slots=True)
class FileRun:
    """What to do with each line.

    Attributes:
        pipeline: name of the pipeline.
        pipeline_version: its version; empty means the current one.
        batch_rows: most lines of one message.
        streams: how many streams to use, each over a connection of its own.
        trace: what all of it is a part of, or None.
    """

    pipeline: str
    pipeline_version: str
    batch_rows: int
    streams: int
    trace: TraceContext | None = None


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
    headers = () if run.trace is None else run.trace.headers()
    async with (
        lines_of(file) as lines,
        options.client(connections=run.streams, metadata=headers) as client,
    ):
        try:
            description = await client.describe_pipeline(
                run.pipeline, pipeline_version=run.pipeline_version
            )
            await _predict_all(client, run, description.request_fields, lines, tally)
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
    if run.trace is not None:
        summary += f", trace {run.trace.trace_id}"
    print(f"tailrace predict: {summary}", file=sys.stderr)
    return 1 if tally.failures else 0


async def _predict_all(
    client: AsyncClient,
    run: FileRun,
    schema: Sequence[RequestField],
    lines: AsyncIterator[list[Line]],
    tally: _Tally,
) -> None:
    rows = RowQueue()
    blocks: asyncio.Queue[LineBlock | None] = asyncio.Queue()
    # A place is taken before lines are parsed, and freed when their results have been printed:
    # neither rows nor results pile up behind a slow one.
    places = asyncio.Semaphore(_BLOCKS_PER_STREAM * run.streams)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_read(batches(lines, run.batch_rows), schema, rows, blocks, places))
            for _ in range(run.streams):
                group.create_task(_predict(client, run, rows))
            group.create_task(_print_all(blocks, places, tally))
    except ExceptionGroup as errors:
        # The first has cancelled all others.
        raise errors.exceptions[0] from errors


async def _read(
    batches: AsyncIterator[list[Line]],
    schema: Sequence[RequestField],
    rows: RowQueue,
    blocks: asyncio.Queue[LineBlock | None],
    places: asyncio.Semaphore,
) -> None:
    async for batch in batches:
        await places.acquire()
        block = LineBlock(number for number, _ in batch)
        blocks.put_nowait(block)
        for number, line in batch:
            fields = parse_row(line, schema)
            if isinstance(fields, PredictionError):
                block.settle(number, fields)
            else:
                rows.put(block, number, fields)
    rows.close()
    blocks.put_nowait(None)


async def _predict(client: AsyncClient, run: FileRun, rows: RowQueue) -> None:
    while True:
        taker = RowTaker(rows)
        results = client.predict_stream(
            run.pipeline,
            taker,
            pipeline_version=run.pipeline_version,
            rows_per_message=run.batch_rows,
            max_unanswered=_MESSAGES_PER_STREAM * run.batch_rows,
        )
        try:
            async for result in results:
                taker.settle(result.place, result.outcome)
        except PredictionError as error:
            # Those of the rows that were under way; the others go through a new stream.
            for place, request_id in error.unanswered.items():
                taker.settle(place, _of_one_row(error, request_id))
        else:
            return


def _of_one_row(error: PredictionError, request_id: str) -> PredictionError:
    own = copy.copy(error)
    own.request_id, own.unanswered = request_id, {}
    return own


async def _print_all(
    blocks: asyncio.Queue[LineBlock | None], places: asyncio.Semaphore, tally: _Tally
) -> None:
    while (block := await blocks.get()) is not None:
        await block.complete.wait()
        _print(block.numbers, block.outcomes(), tally)
        places.release()


def _print(numbers: Sequence[int], outcomes: Sequence[Outcome], tally: _Tally) -> None:
    documents: Iterator[dict[str, Any]] = map(_document, outcomes)
    text = "".join(
        _ENCODE({"line": number, **document}) + "\n"
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
