"""`tailrace features load`: loads static views from files, DuckDB, or their own sources."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from tailrace.cli.feature_load_run import load_all, load_one
from tailrace.cli.feature_options import (
    AsJson,
    FeaturesFailed,
    require_view,
    view_files,
)
from tailrace.cli.feature_place import MeshName, RedisUrl, ViewsDir, place_settings
from tailrace.cli.gateway_options import StateDir
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_input import FileInput, LoadInput
from tailrace.features.load_options import BadRowLimit, LoadOptions
from tailrace.features.rejects import RejectsFile
from tailrace.features.sql_input import QueryLimits, SqlInput
from tailrace.runtime.pipeline.base import Misfit
from tailrace.runtime.pipeline.duration import parse_duration


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`."""
    app.command()(load)


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
    name: MeshName = None,
    state_dir: StateDir = None,
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
    named = [part for part in (file, sql, table) if part is not None]
    _check_usage(view, every, len(named), database, sql, table)
    if new_generation and not incremental:
        raise typer.BadParameter(
            "--new-generation is for --incremental: a full load always makes one"
        )
    settings = place_settings(redis_url, views_dir, name, state_dir)
    found = view_files(settings, views_dir)
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
            load_all(found, options, limits, settings, as_json)
            return
        assert view is not None, "checked"
        require_view(view, found)
        source: LoadInput | None = None
        if file is not None:
            source = FileInput(file, null_texts)
        elif named:
            origin = "--sql" if sql is not None else "--table"
            source = SqlInput(origin, sql, table, database, Path(), limits)
        load_one(view, source, found, options, limits, settings, as_json)


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
