"""What full and incremental loads have in common: they open what they read, off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from tailrace.features.codec import FORMAT_VERSION
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_input import FileInput, LoadInput, not_loadable
from tailrace.features.load_options import LoadOptions
from tailrace.features.row_encoder import RowEncoder
from tailrace.features.row_schema import row_schema
from tailrace.features.table_file import TableFile
from tailrace.runtime.pipeline.feature_view import FeatureView

Result = TypeVar("Result")

_INTERRUPT_AGAIN_S = 0.05


def input_of(source: Path | LoadInput, options: LoadOptions) -> LoadInput:
    """Returns a source of rows; a path is that of a file."""
    return FileInput(source, options.null_texts) if isinstance(source, Path) else source


async def check_input(view: FeatureView, source: LoadInput, options: LoadOptions) -> None:
    """Returns if the source has what the view needs; reads no rows.

    Raises:
        LoadFailed: it has not, cannot be read, or the view is none that is loaded.
    """
    if view.kind != "static":
        raise LoadFailed(not_loadable(view))
    schema = await off_loop(source.schema, source)
    try:
        RowEncoder(view, schema, options.timestamp_column, 0)
    except LoadFailed as error:
        raise LoadFailed(f"{source.place}: {error}") from error


@contextlib.asynccontextmanager
async def opened(
    view: FeatureView, source: LoadInput, options: LoadOptions, since_us: int | None = None
) -> AsyncIterator[TableFile]:
    """Makes the source's rows a file, which is there while the context lasts.

    The event loop goes on meanwhile, and renews the lock of the view.
    """
    keys = [key.name for key in view.keys]
    others = [feature.name for feature in view.features]
    if options.timestamp_column not in (None, *keys, *others):
        others.append(str(options.timestamp_column))
    context = source.table(keys, others, options.timestamp_column, since_us)
    table = await off_loop(context.__enter__, source)
    try:
        yield table
    finally:
        context.__exit__(None, None, None)


async def off_loop(work: Callable[[], Result], source: LoadInput) -> Result:
    """Returns what blocking work returns; where this is cancelled, the source's work is ended."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        # Again and again, as what comes between two statements of a query is lost.
        while not working.done():
            source.interrupt()
            await asyncio.wait([working], timeout=_INTERRUPT_AGAIN_S)
        if not working.cancelled():
            working.exception()  # seen: it is that of the interruption
        raise


def load_digest(view: FeatureView, table: TableFile, options: LoadOptions) -> str:
    """Returns what changes with the rows of a file and with how they are read."""
    parts = [
        table.digest(),
        FORMAT_VERSION,
        row_schema(view).schema_id,
        options.timestamp_column,
        list(options.null_texts),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
