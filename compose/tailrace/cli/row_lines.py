"""Rows in the lines of a file or of standard input: a JSON object each."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import typer

from tailrace.cli.chunk_reader import MAX_LINE_BYTES, ChunkReader, Line, read_lines
from tailrace.cli.json_line import parse_json
from tailrace.client import Fields, InvalidRequest, PredictionError
from tailrace.client.json_values import fields_from_json
from tailrace.v1.pipeline_pb2 import RequestField


@asynccontextmanager
async def lines_of(file: Path) -> AsyncIterator[AsyncIterator[list[Line]]]:
    """Gives the block the lines of a file as they come; `-` is standard input.

    Raises:
        typer.BadParameter: the file cannot be opened.
    """
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


async def batches(lines: AsyncIterator[list[Line]], batch_rows: int) -> AsyncIterator[list[Line]]:
    """Yields the lines in batches, no larger than is said, as they come."""
    async for come in lines:
        for start in range(0, len(come), batch_rows):
            yield come[start : start + batch_rows]


def parse_row(line: bytes | None, schema: Sequence[RequestField]) -> Fields | PredictionError:
    """Returns the fields of one line, or why it is none; None stands for one that is too long."""
    if line is None:
        return InvalidRequest(f"a line longer than {MAX_LINE_BYTES} bytes", reason="LIMIT_EXCEEDED")
    try:
        return fields_from_json(parse_json(line), schema)
    except PredictionError as error:
        return error
