"""`tailrace features load`: loads static views from files, DuckDB, or their own sources."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from tailrace.cli.feature_load_output import (
    print_bad_rows,
    print_report,
    progress,
    tell_resumed,
)
from tailrace.cli.feature_options import (
    AsJson,
    FeaturesFailed,
    RedisUrl,
    ViewsDir,
    errors,
    feature_link,
    features_settings,
    print_problems,
    require_view,
    store_place,
    view_files,
)
from tailrace.features.load_errors import LoadFailed, LoadLocked
from tailrace.features.load_input import FileInput, LoadInput, view_input
from tailrace.features.load_options import BadRowLimit, LoadOptions
from tailrace.features.load_report import LoadReport
from tailrace.features.loader import load_view
from tailrace.features.rejects import RejectsFile
from tailrace.features.sql_input import QueryLimits, SqlInput
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.pipeline.base import Misfit
from tailrace.runtime.pipeline.directory import ViewFiles
from tailrace.runtime.pipeline.duration import parse_duration
from tailrace.runtime.pipeline.feature_view import FeatureView

LOCKED_STATUS = 75
"""Exit status where another load of the view is running; EX_TEMPFAIL of sysexits.h."""


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`."""
    app.command()(load)


@dataclass(frozen=True, slots=True)
class _Job:
    """One view to load."""

    view: FeatureView
    source: LoadInput
    options: LoadOptions


def load(
    file: Annotated[
        Path | None, typer.Argument(help="Parquet (.parquet, .pq) or CSV (.csv).")
    ] = None,
    view: Annotated[
        str | None,
        typer.Option(help="The view to load; without a file or query, from its own source."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Load every static view that has a source.")
    ] = False,
    sql: Annotated[str | None, typer.Option(help="Load what a query of DuckDB returns.")] = None,
    database: Annotated[
        Path | None, typer.Option(help="DuckDB file for --sql and --table, opened read-only.")
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="Load a table or view of the --database.")
    ] = None,
    redis_url: RedisUrl = None,
    views_dir: ViewsDir = None,
    timestamp_column: Annotated[
        str | None,
        typer.Option(
            help="Column that says when each row was true; by default that of the view's source, "
            "else the time of the load stands for it."
        ),
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
        bool | None,
        typer.Option(
            "--if-changed/--always",
            help="Do nothing if the same was loaded in the same way before; the default for a "
            "view's own source, but not for a file or query named here.",
        ),
    ] = None,
    incremental: Annotated[
        bool,
        typer.Option("--incremental", help="Load only rows not older than the latest loaded one."),
    ] = False,
    overlap: Annotated[
        str, typer.Option(help="How far before it an incremental load begins, such as 10m.")
    ] = "0s",
    new_generation: Annotated[
        bool,
        typer.Option(
            "--new-generation",
            help="Apply an incremental load to a copy of the rows, which goes live at once.",
        ),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Do not go on with a load that was killed.")
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(help="Write the rows refused to this file, .ndjson or .parquet."),
    ] = None,
    memory_limit: Annotated[str, typer.Option(help="Most memory of a query, in DuckDB.")] = "1GB",
    spool_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for a query's result; by default the temporary folder."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load rows into static feature views, from a file, a query, or the views' own sources.

    Lookups see all of it at once, when it is complete; until then, and if anything fails, they
    see what was there before. What is read has a column per key and feature of the view; others
    are ignored. Bad rows are left out and counted by reason. A load that was killed is gone on
    with when the same rows are loaded again.

    Exit status: 0 loaded or unchanged, 1 failed, 2 wrong usage, 75 another load of the view is
    running.
    """
    settings = features_settings(redis_url)
    found = view_files(settings, views_dir)
    named = [part for part in (file, sql, table) if part is not None]
    _check_usage(view, every, len(named), database, sql, table)
    if new_generation and not incremental:
        raise typer.BadParameter(
            "--new-generation is for --incremental: a full load always makes one"
        )
    limits = QueryLimits(memory_limit, spool_dir)
    null_texts = tuple(null) if null else ("",)
    with contextlib.ExitStack() as stack:
        options = LoadOptions(
            timestamp_column=timestamp_column,
            max_bad_rows=_bad_row_limit(max_bad_rows),
            null_texts=null_texts,
            if_changed=not named if if_changed is None else if_changed,
            restart=restart,
            incremental=incremental,
            overlap=_duration(overlap),
            new_generation=new_generation,
        )
        if rejects is not None:
            try:
                options = replace(options, rejects=stack.enter_context(RejectsFile(rejects)))
            except LoadFailed as error:
                raise FeaturesFailed(str(error)) from error
        if every:
            _load_all(found, options, limits, settings, as_json)
            return
        assert view is not None, "checked"
        require_view(view, found)
        source: LoadInput | None = None
        if file is not None:
            source = FileInput(file, null_texts)
        elif named:
            origin = "--sql" if sql is not None else "--table"
            source = SqlInput(origin, sql, table, database, Path(), limits)
        try:
            job = _job(view, source, found, options, limits)
            report = asyncio.run(_load(job, settings))
        except LoadFailed as failure:
            print_bad_rows(failure.bad_rows)
            if isinstance(failure, LoadLocked):
                errors.print(f"tailrace: {failure}", highlight=False, markup=False, soft_wrap=True)
                raise typer.Exit(LOCKED_STATUS) from failure
            raise FeaturesFailed(_sentence(failure, settings)) from failure
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        print_report(report)


def _load_all(
    found: ViewFiles,
    options: LoadOptions,
    limits: QueryLimits,
    settings: FeaturesSettings,
    as_json: bool,
) -> None:
    """Loads every view that has a source; the failure of one keeps no other from being loaded."""
    print_problems(found)
    names = [name for name in sorted(found.views) if _has_source(found.views[name])]
    reports: list[dict[str, object]] = []
    failed = locked = False
    for name in names:
        try:
            report = asyncio.run(_load(_job(name, None, found, options, limits), settings))
        except LoadFailed as failure:
            print_bad_rows(failure.bad_rows)
            sentence = _sentence(failure, settings)
            errors.print(f"{name}: {sentence}", highlight=False, markup=False, soft_wrap=True)
            reports.append({"view": name, "error": sentence, "bad_rows": failure.bad_rows})
            is_locked = isinstance(failure, LoadLocked)
            locked, failed = locked or is_locked, failed or not is_locked
            continue
        reports.append(report.to_dict())
        if not as_json:
            print_report(report)
    if as_json:
        print(json.dumps(reports))
    if failed or found.errors:
        raise FeaturesFailed(f"not all views were loaded: see above ({len(names)} have a source)")
    if locked:
        raise typer.Exit(LOCKED_STATUS)


def _job(
    name: str,
    source: LoadInput | None,
    found: ViewFiles,
    options: LoadOptions,
    limits: QueryLimits,
) -> _Job:
    """Returns what to load. Raises LoadFailed."""
    view = found.views[name]
    own = view.source
    if source is None:
        nulls = options.null_texts
        source = view_input(view, found.files[name], null_texts=nulls, limits=limits)
        if options.timestamp_column is None and own is not None:
            column = own.timestamp if own.type in ("file", "sql") else None
            options = replace(options, timestamp_column=column)
    return _Job(view, source, options)


async def _load(job: _Job, settings: FeaturesSettings) -> LoadReport:
    link = feature_link(settings)
    name = job.view.view
    try:
        with progress(name) as on_progress:
            return await load_view(
                job.view,
                job.source,
                link=link,
                prefix=settings.feature_key_prefix,
                options=job.options,
                on_progress=on_progress,
                on_resume=lambda rows: tell_resumed(name, rows),
            )
    finally:
        await link.close()


def _has_source(view: FeatureView) -> bool:
    return view.kind == "static" and view.source is not None


def _check_usage(
    view: str | None,
    every: bool,
    sources: int,
    database: Path | None,
    sql: str | None,
    table: str | None,
) -> None:
    """Raises typer.BadParameter, which ends the command with status 2."""
    if every == (view is not None):
        raise typer.BadParameter("name one view by --view, or load --all")
    if every and sources:
        raise typer.BadParameter("--all loads the views' own sources: name no file, query or table")
    if sources > 1:
        raise typer.BadParameter("name one of a file, --sql and --table")
    if database is not None and sql is None and table is None:
        raise typer.BadParameter("--database needs --sql or --table")
    if table is not None and database is None:
        raise typer.BadParameter("--table needs the --database that it is in")


def _sentence(failure: LoadFailed, settings: FeaturesSettings) -> str:
    of_store = isinstance(failure.__cause__, TailraceError)
    place = f" (Redis at {store_place(settings)})" if of_store else ""
    return f"{failure}{place}"


def _bad_row_limit(text: str) -> BadRowLimit:
    try:
        return BadRowLimit.parse(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is neither a number such as 100 nor a share such as 1%",
            param_hint="--max-bad-rows",
        ) from error


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except Misfit as error:
        raise typer.BadParameter(
            f"{text!r} is no time such as 90s, 10m or 1d", param_hint="--overlap"
        ) from error
