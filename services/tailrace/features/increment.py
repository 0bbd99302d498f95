"""Loads only the rows that are new since the last load of a view.

Into the generation that lookups read, or into a copy of it that goes live at once. In place,
each row is replaced in one step, and only by one that is not older, so that a load that dies is
simply run again. The row count, the watermark and the statistics move at the end, in the one
write of the pointer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from tailrace.features.feature_statistics import RowStatistics, ViewStatistics
from tailrace.features.generation_rows import copy_rows
from tailrace.features.generation_writer import GenerationWriter
from tailrace.features.increment_writer import IncrementWriter
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_input import LoadInput
from tailrace.features.load_options import LoadOptions
from tailrace.features.load_report import LoadReport
from tailrace.features.load_rows import LoadRows
from tailrace.features.load_session import check_input, opened
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_link import RedisLink
from tailrace.features.rejects import RejectsFile
from tailrace.features.row_schema import row_schema
from tailrace.features.table_file import TableFile
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.errors import Unavailable
from tailrace.runtime.pipeline.feature_view import FeatureView

Progress = Callable[[int, int | None], None]


async def load_increment(
    view: FeatureView,
    source: LoadInput,
    *,
    link: RedisLink,
    names: KeyNames,
    options: LoadOptions,
    on_progress: Progress,
) -> LoadReport:
    """Returns once lookups read the rows that are not older than the view's watermark.

    See `load_view` for the arguments.

    Raises:
        LoadLocked: another load of the view is running.
        LoadFailed: the view has no timestamps, was never loaded, or was loaded with another
            schema; or as for a full load.
    """
    began = time.monotonic()
    if options.timestamp_column is None:
        raise LoadFailed(
            f"view {view.view!r}: an incremental load needs a timestamp column; name it by "
            "--timestamp-column, or as `timestamp` in the view's source"
        )
    await check_input(view, source, options)
    load = _Increment(view, source, options, on_progress)
    try:
        async with GenerationWriter(
            link, names, view.view, lock_ttl_ms=options.lock_ttl_ms
        ) as writer:
            report = await load.run(link, names, writer)
    except Unavailable as error:
        raise LoadFailed(f"view {view.view!r}: {error.message}", load.bad_rows) from error
    return report.lasted(time.monotonic() - began)


class _Increment:
    """One incremental load."""

    def __init__(
        self, view: FeatureView, source: LoadInput, options: LoadOptions, on_progress: Progress
    ) -> None:
        self.bad_rows: dict[str, int] = {}
        self._view = view
        self._source = source
        self._options = options
        self._on_progress = on_progress

    async def run(self, link: RedisLink, names: KeyNames, writer: GenerationWriter) -> LoadReport:
        """Returns once the rows are live."""
        view, options = self._view, self._options
        current, watermark_us = self._loaded(writer)
        since_us = watermark_us - options.overlap // timedelta(microseconds=1)
        async with opened(view, self._source, options, since_us) as table:
            # In place nothing can be taken back, so all rows are looked at before one is written.
            await self._check(table, since_us)
            target, stored = current.generation, current.rows
            if options.new_generation:
                await writer.start()
                target = writer.generation
                source, check = current.generation, writer.lock.check
                stored = await copy_rows(link, names, view.view, source, target, check)
            in_place = not options.new_generation
            increment = IncrementWriter(
                link, names, view.view, target, writer.lock, in_place=in_place
            )
            rows = self._rows(table, since_us)
            total = table.total_rows
            for encoded in rows.batches():
                await increment.write(encoded.keys, encoded.rows)
                self._on_progress(rows.done, total)
        added = await increment.added_in_place() if in_place else increment.added
        pointer = replace(
            current,
            generation=target,
            rows=stored + added,
            loaded_at_us=time.time_ns() // NS_PER_US,
            source=self._source.name,
            digest="",  # a full load of whatever source is a change
            watermark_us=max(watermark_us, rows.next_watermark_us or watermark_us),
            timestamp_column=options.timestamp_column,
            increments=current.increments + 1,
        )
        before = await link.call("GET", names.statistics(view.view))
        await writer.publish(pointer, _statistics(pointer, rows, before).to_json())
        return LoadReport(
            view=view.view,
            file=self._source.place,
            generation=pointer.generation,
            rows=pointer.rows,
            bad_rows=self.bad_rows,
            unchanged=not (increment.added or increment.updated),
            incremental=True,
            added=increment.added,
            updated=increment.updated,
            outdated=increment.outdated,
            watermark_us=pointer.watermark_us,
        )

    def _loaded(self, writer: GenerationWriter) -> tuple[Pointer, int]:
        """Returns what is loaded, and its watermark. Raises LoadFailed."""
        name, current = self._view.view, writer.current
        if current is None:
            raise LoadFailed(f"view {name!r} was never loaded: load it in full first")
        if current.schema_id != row_schema(self._view).schema_id:
            raise LoadFailed(
                f"view {name!r} has other keys or features than what is stored of it: a new "
                "generation is needed; load it in full"
            )
        if current.watermark_us is None:
            raise LoadFailed(
                f"view {name!r} was loaded without timestamps, so what is new cannot be told: "
                "load it in full with a timestamp column first"
            )
        return current, current.watermark_us

    async def _check(self, table: TableFile, since_us: int) -> None:
        """Reads all rows, and writes none. Raises LoadFailed."""
        rows = self._rows(table, since_us, self._options.rejects)
        try:
            for _ in rows.batches():
                await asyncio.sleep(0)  # for what renews the lock
        finally:
            self.bad_rows = dict(rows.bad_rows)

    def _rows(
        self, table: TableFile, since_us: int, rejects: RejectsFile | None = None
    ) -> LoadRows:
        # Every row has a timestamp, so the time of the load stands for none.
        column, limit = self._options.timestamp_column, self._options.max_bad_rows
        return LoadRows(self._view, table, column, 0, limit, since_us, rejects)


def _statistics(pointer: Pointer, rows: LoadRows, before: bytes | None) -> ViewStatistics:
    """Returns those of the last full load, which stay, with those of the new rows."""
    full = None
    if before is not None:
        # What cannot be read is lost, and comes again with the next full load.
        with contextlib.suppress(ValueError):
            full = ViewStatistics.from_json(before).full
    found = RowStatistics(
        rows=rows.encoded,
        loaded_at_us=pointer.loaded_at_us,
        source=pointer.source,
        features=rows.statistics.results(),
    )
    return ViewStatistics(pointer.generation, full, found)
