"""Loads a file of features into a view: all of it goes live at once, or none of it does."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tailrace.features.codec import FORMAT_VERSION
from tailrace.features.generation_writer import GenerationWriter
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_options import BadRowLimit, LoadOptions
from tailrace.features.load_report import LoadReport
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_link import RedisLink
from tailrace.features.row_encoder import RowEncoder
from tailrace.features.row_schema import row_schema
from tailrace.features.table_file import TableFile
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.errors import Unavailable
from tailrace.runtime.pipeline.feature_view import FeatureView

MALFORMED = "wrong number of columns"


Progress = Callable[[int, int | None], None]


async def load_view(
    view: FeatureView,
    file: Path,
    *,
    link: RedisLink,
    prefix: str,
    options: LoadOptions = LoadOptions(),  # noqa: B008  # frozen
    on_progress: Progress = lambda done, total: None,
) -> LoadReport:
    """Returns once lookups read the file's rows.

    Args:
        view: the view to load.
        file: Parquet or CSV, with a column per key and feature; others are ignored.
        link: to the store.
        prefix: what all keys begin with.
        options: how to load.
        on_progress: called with the rows done and, if known, their total.

    Raises:
        LoadLocked: another load of the view is running.
        LoadFailed: the file cannot be read, does not fit the view, or has no good rows or too
            many bad ones; or the store cannot be reached, refuses or is full.
    """
    began = time.monotonic()
    table = TableFile(file, null_texts=options.null_texts)
    load_time_us = time.time_ns() // NS_PER_US
    encoder = RowEncoder(view, table.schema, options.timestamp_column, load_time_us)
    digest = _digest(view, table, options)
    names = KeyNames(prefix)
    try:
        async with GenerationWriter(
            link, names, view.view, lock_ttl_ms=options.lock_ttl_ms
        ) as writer:
            current = writer.current
            if options.if_changed and current and _is_current(current, digest, view, options):
                return LoadReport(
                    view.view, str(file), current.generation, current.rows, unchanged=True
                )
            await writer.start()
            await _write_rows(writer, table, encoder, options.max_bad_rows, on_progress)
            pointer = Pointer(
                generation=writer.generation,
                schema_id=row_schema(view).schema_id,
                rows=encoder.stored,
                loaded_at_us=time.time_ns() // NS_PER_US,
                source=file.name,
                digest=digest,
            )
            await writer.publish(pointer)
    except Unavailable as error:
        raise LoadFailed(f"view {view.view!r}: {error.message}", encoder.bad_rows) from error
    return LoadReport(
        view=view.view,
        file=str(file),
        generation=pointer.generation,
        rows=pointer.rows,
        bad_rows=dict(encoder.bad_rows),
        seconds=time.monotonic() - began,
    )


async def _write_rows(
    writer: GenerationWriter,
    table: TableFile,
    encoder: RowEncoder,
    limit: BadRowLimit,
    on_progress: Progress,
) -> None:
    done = 0
    for batch in table.batches(encoder.columns):
        encoded = encoder.encode(batch)
        await writer.write(encoded.keys, encoded.rows)
        done += batch.num_rows
        on_progress(done, table.total_rows)
        if limit.count is not None:
            _check_bad_rows(table, encoder, limit, done)
    _check_bad_rows(table, encoder, limit, done)
    if not encoder.stored:
        raise LoadFailed(f"{table.path} has no rows to load", encoder.bad_rows)


def _check_bad_rows(table: TableFile, encoder: RowEncoder, limit: BadRowLimit, done: int) -> None:
    bad_rows = encoder.bad_rows
    if table.malformed_rows:
        bad_rows[MALFORMED] = table.malformed_rows
    bad, total = sum(bad_rows.values()), done + table.malformed_rows
    if not limit.allows(bad, total):
        allowed = limit.count if limit.count is not None else f"{limit.share:.2%}"
        raise LoadFailed(
            f"{table.path}: {bad} of {total} rows are bad, and {allowed} are allowed", bad_rows
        )


def _digest(view: FeatureView, table: TableFile, options: LoadOptions) -> str:
    parts = [
        table.digest(),
        FORMAT_VERSION,
        row_schema(view).schema_id,
        options.timestamp_column,
        list(options.null_texts),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _is_current(current: Pointer, digest: str, view: FeatureView, options: LoadOptions) -> bool:
    if current.digest != digest:
        return False
    if view.max_age is None or options.timestamp_column is not None:
        return True
    # The rows are as old as their load: load them anew before they become stale.
    age_us = time.time_ns() // NS_PER_US - current.loaded_at_us
    return age_us < view.max_age // timedelta(microseconds=1) // 2
