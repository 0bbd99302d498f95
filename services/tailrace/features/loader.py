"""Loads rows into a static view: all of them go live at once, or none of them does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tailrace.features.feature_statistics import RowStatistics, ViewStatistics
from tailrace.features.generation_writer import GenerationWriter
from tailrace.features.increment import load_increment
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_input import LoadInput
from tailrace.features.load_options import LoadOptions
from tailrace.features.load_report import LoadReport
from tailrace.features.load_rows import LoadRows
from tailrace.features.load_session import check_input, input_of, load_digest, off_loop, opened
from tailrace.features.load_state import UnfinishedLoad
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_link import RedisLink
from tailrace.features.row_encoder import EncodedRows
from tailrace.features.row_schema import row_schema
from tailrace.features.table_file import TableFile
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.errors import Unavailable
from tailrace.runtime.pipeline.feature_view import FeatureView

Progress = Callable[[int, int | None], None]
OnResume = Callable[[int], None]


async def load_view(
    view: FeatureView,
    source: Path | LoadInput,
    *,
    link: RedisLink,
    prefix: str,
    options: LoadOptions = LoadOptions(),  # noqa: B008  # frozen
    on_progress: Progress = lambda done, total: None,
    on_resume: OnResume = lambda rows: None,
) -> LoadReport:
    """Returns once lookups read the source's rows.

    Args:
        view: the view to load, a static one.
        source: a Parquet or CSV file, or another source of rows, with a column per key and
            feature; other columns are ignored.
        link: to the store.
        prefix: what all keys begin with.
        options: how to load.
        on_progress: called with the rows done and, if known, their total.
        on_resume: called with the rows that need not be written, where a load that died is gone
            on with.

    Raises:
        LoadLocked: another load of the view is running.
        LoadFailed: the source cannot be read, does not fit the view, or has no good rows or too
            many bad ones; or the store cannot be reached, refuses or is full.
    """
    began = time.monotonic()
    names = KeyNames(prefix)
    rows_source = input_of(source, options)
    if options.incremental:
        return await load_increment(
            view, rows_source, link=link, names=names, options=options, on_progress=on_progress
        )
    await check_input(view, rows_source, options)
    load = _FullLoad(view, rows_source, options, on_progress, on_resume)
    try:
        async with GenerationWriter(
            link, names, view.view, lock_ttl_ms=options.lock_ttl_ms
        ) as writer:
            report = await load.run(writer)
    except Unavailable as error:
        raise LoadFailed(f"view {view.view!r}: {error.message}", load.bad_rows) from error
    return report.lasted(time.monotonic() - began)


class _FullLoad:
    """One load of all rows of a source."""

    def __init__(
        self,
        view: FeatureView,
        source: LoadInput,
        options: LoadOptions,
        on_progress: Progress,
        on_resume: OnResume,
    ) -> None:
        self.bad_rows: dict[str, int] = {}
        self._view = view
        self._source = source
        self._options = options
        self._on_progress = on_progress
        self._on_resume = on_resume

    async def run(self, writer: GenerationWriter) -> LoadReport:
        """Returns once the rows are live, or are found to be live already."""
        view, options = self._view, self._options
        async with opened(view, self._source, options) as table:
            digest = await off_loop(lambda: load_digest(view, table, options), self._source)
            current = writer.current
            if options.if_changed and current and _is_current(current, digest, view, options):
                return self._unchanged(current)
            died = None if options.restart else writer.resumable(digest)
            if died is not None and _is_fresh(died.load_time_us, view, options):
                writer.resume(died)
                self._on_resume(died.rows_done)
            else:
                died = UnfinishedLoad(writer.generation, digest, 0, _now_us())
                await writer.start(digest, died.load_time_us)
            rows = self._rows(table, died.load_time_us)
            try:
                await self._write(writer, rows, died.rows_done)
            finally:
                self.bad_rows = dict(rows.bad_rows)
            if not rows.distinct:
                raise LoadFailed(f"{table.label} has no rows to load", self.bad_rows)
        return await self._publish(writer, rows, digest, died)

    def _rows(self, table: TableFile, load_time_us: int) -> LoadRows:
        options = self._options
        return LoadRows(
            self._view,
            table,
            options.timestamp_column,
            load_time_us,
            options.max_bad_rows,
            rejects=options.rejects,
        )

    async def _write(self, writer: GenerationWriter, rows: LoadRows, already: int) -> None:
        """Writes the rows, each batch while the next one is encoded."""
        writing: asyncio.Task[None] | None = None
        try:
            for encoded in rows.batches():
                if writing is not None:
                    await writing
                    writing = None
                done, total = rows.done, rows.table.total_rows
                if done <= already:
                    self._on_progress(done, total)
                    # Nothing else gives way to what renews the lock.
                    await asyncio.sleep(0)
                    continue
                writing = asyncio.create_task(self._write_batch(writer, encoded, done, total))
                # So that it is sent before the next batch keeps the processor.
                await asyncio.sleep(0)
            if writing is not None:
                await writing
        except BaseException:
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
            raise

    async def _write_batch(
        self, writer: GenerationWriter, encoded: EncodedRows, done: int, total: int | None
    ) -> None:
        await writer.write(encoded.keys, encoded.rows)
        await writer.checkpoint(done)
        self._on_progress(done, total)

    async def _publish(
        self, writer: GenerationWriter, rows: LoadRows, digest: str, died: UnfinishedLoad
    ) -> LoadReport:
        view, source = self._view, self._source
        pointer = Pointer(
            generation=writer.generation,
            schema_id=row_schema(view).schema_id,
            rows=rows.distinct,
            loaded_at_us=_now_us(),
            source=source.name,
            digest=digest,
            watermark_us=rows.next_watermark_us,
            timestamp_column=self._options.timestamp_column,
        )
        found = RowStatistics(
            rows=rows.encoded,
            loaded_at_us=pointer.loaded_at_us,
            source=source.name,
            features=rows.statistics.results(),
        )
        await writer.publish(pointer, ViewStatistics(pointer.generation, found).to_json())
        return LoadReport(
            view=view.view,
            file=source.place,
            generation=pointer.generation,
            rows=pointer.rows,
            bad_rows=self.bad_rows,
            resumed_at=died.rows_done,
            watermark_us=pointer.watermark_us,
        )

    def _unchanged(self, current: Pointer) -> LoadReport:
        return LoadReport(
            view=self._view.view,
            file=self._source.place,
            generation=current.generation,
            rows=current.rows,
            unchanged=True,
            watermark_us=current.watermark_us,
        )


def _is_current(current: Pointer, digest: str, view: FeatureView, options: LoadOptions) -> bool:
    return current.digest == digest and _is_fresh(current.loaded_at_us, view, options)


def _is_fresh(load_time_us: int, view: FeatureView, options: LoadOptions) -> bool:
    """Returns whether rows of that time need not be loaded anew before they become stale.

    Rows without a timestamp of their own are as old as their load.
    """
    if view.max_age is None or options.timestamp_column is not None:
        return True
    # A load of the future, by a clock that was set back since, would count for ever else.
    return abs(_now_us() - load_time_us) < view.max_age // timedelta(microseconds=1) // 2


def _now_us() -> int:
    return time.time_ns() // NS_PER_US
