"""`tailrace features load`: loads files into static views."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tailrace.cli.feature_options import (
    AsJson,
    FeaturesFailed,
    RedisUrl,
    ViewsDir,
    errors,
    feature_link,
    features_settings,
    require_view,
    store_place,
    view_files,
)
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_options import BadRowLimit, LoadOptions
from tailrace.features.load_report import LoadReport
from tailrace.features.loader import load_view
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.pipeline.feature_view import FeatureView

# How often a plain line tells how far a load has come, in seconds.
_PLAIN_PROGRESS_S = 5.0


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`."""
    app.command()(load)


def load(
    file: Annotated[Path, typer.Argument(help="Parquet (.parquet, .pq) or CSV (.csv).")],
    view: Annotated[str, typer.Option(help="The view to load.")],
    redis_url: RedisUrl = None,
    views_dir: ViewsDir = None,
    timestamp_column: Annotated[
        str | None,
        typer.Option(help="Column that says when each row was true; by default, now."),
    ] = None,
    max_bad_rows: Annotated[
        str,
        typer.Option(help="With more bad rows the load fails: a number, or a share such as 1%."),
    ] = "1%",
    null: Annotated[
        list[str] | None,
        typer.Option(help="Text that means null in CSV, unquoted; by default the empty text."),
    ] = None,
    if_changed: Annotated[
        bool,
        typer.Option(
            "--if-changed", help="Do nothing if the same file was loaded in the same way before."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Load a file into a feature view.

    Lookups see all of it at once, when it is complete; until then, and if anything fails, they
    see what was there before. The file has a column per key and feature of the view; others
    are ignored. Bad rows are left out and counted by reason.
    """
    settings = features_settings(redis_url)
    found = view_files(settings, views_dir)
    require_view(view, found)
    options = LoadOptions(
        timestamp_column=timestamp_column,
        max_bad_rows=_bad_row_limit(max_bad_rows),
        null_texts=tuple(null) if null else ("",),
        if_changed=if_changed,
    )
    try:
        report = asyncio.run(_load(found.views[view], file, settings, options))
    except LoadFailed as failure:
        _print_bad_rows(failure.bad_rows)
        place = f" (Redis at {store_place(settings)})" if _is_of_store(failure) else ""
        raise FeaturesFailed(f"{failure}{place}") from failure
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        _print_report(report)


async def _load(
    view: FeatureView, file: Path, settings: FeaturesSettings, options: LoadOptions
) -> LoadReport:
    link = feature_link(settings)
    try:
        with _progress(view.view) as on_progress:
            return await load_view(
                view,
                file,
                link=link,
                prefix=settings.feature_key_prefix,
                options=options,
                on_progress=on_progress,
            )
    finally:
        await link.close()


@contextlib.contextmanager
def _progress(view: str) -> Iterator[Callable[[int, int | None], None]]:
    """Shows a bar on a terminal, and a line now and then elsewhere."""
    if not errors.is_terminal:
        last_told = time.monotonic()

        def tell(done: int, total: int | None) -> None:
            nonlocal last_told
            if time.monotonic() - last_told >= _PLAIN_PROGRESS_S:
                last_told = time.monotonic()
                of_total = "" if total is None else f" of {total:,}"
                errors.print(f"Loading {view}: {done:,}{of_total} rows", highlight=False)

        yield tell
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeElapsedColumn())
    title = TextColumn(f"Loading {view}")
    with Progress(title, *columns, console=errors, transient=True) as bar:
        task = bar.add_task(view, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _is_of_store(failure: LoadFailed) -> bool:
    return isinstance(failure.__cause__, TailraceError)


def _bad_row_limit(text: str) -> BadRowLimit:
    try:
        return BadRowLimit.parse(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is neither a number such as 100 nor a share such as 1%",
            param_hint="--max-bad-rows",
        ) from error


def _print_report(report: LoadReport) -> None:
    if report.unchanged:
        print(f"{report.view}: unchanged, {report.rows:,} rows in generation {report.generation}")
        return
    _print_bad_rows(report.bad_rows)
    rate = report.rows / max(report.seconds, 1e-9)
    print(
        f"{report.view}: {report.rows:,} rows in generation {report.generation} "
        f"({report.seconds:.2f} s, {rate:,.0f} rows/s), "
        f"{sum(report.bad_rows.values()):,} bad rows left out"
    )


def _print_bad_rows(bad_rows: Mapping[str, int]) -> None:
    for reason, count in sorted(bad_rows.items(), key=lambda item: -item[1]):
        errors.print(f"  {count:>10,}  {escape(reason)}", highlight=False)
