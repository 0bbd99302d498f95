"""Runs the loads that `tailrace features load` is asked for, and ends it with their status."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace

import typer

from tailrace.cli.feature_load_output import (
    print_bad_rows,
    print_report,
    progress,
    tell_resumed,
)
from tailrace.cli.feature_options import (
    FeaturesFailed,
    errors,
    feature_link,
    print_problems,
)
from tailrace.cli.feature_place import place_words
from tailrace.features.load_errors import LoadFailed, LoadLocked
from tailrace.features.load_input import LoadInput, view_input
from tailrace.features.load_options import LoadOptions
from tailrace.features.load_report import LoadReport
from tailrace.features.loader import load_view
from tailrace.features.sql_input import QueryLimits
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.pipeline.directory import ViewFiles
from tailrace.runtime.pipeline.feature_view import FeatureView

LOCKED_STATUS = 75
"""Exit status where another load of the view is running; EX_TEMPFAIL of sysexits.h."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One view to load."""

    view: FeatureView
    source: LoadInput
    options: LoadOptions


def load_one(
    name: str,
    source: LoadInput | None,
    found: ViewFiles,
    options: LoadOptions,
    limits: QueryLimits,
    settings: FeaturesSettings,
    as_json: bool,
) -> None:
    """Loads one view and prints what it came to.

    Args:
        name: of the view.
        source: what to load; None for the view's own source.
        found: the view files.
        options: how to load.
        limits: what a query of the view's own source may use.
        settings: of the store.
        as_json: whether to print JSON.

    Raises:
        FeaturesFailed: the load failed.
        typer.Exit: another load of the view is running.
    """
    try:
        report = asyncio.run(_load(_job(name, source, found, options, limits), settings))
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


def load_all(
    found: ViewFiles,
    options: LoadOptions,
    limits: QueryLimits,
    settings: FeaturesSettings,
    as_json: bool,
) -> None:
    """Loads every view that has a source; the failure of one keeps no other from being loaded.

    See `load_one` for the arguments.

    Raises:
        FeaturesFailed: at least one failed.
        typer.Exit: another load of at least one is running, and nothing else failed.
    """
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


def _sentence(failure: LoadFailed, settings: FeaturesSettings) -> str:
    of_store = isinstance(failure.__cause__, TailraceError)
    place = place_words(settings) if of_store else ""
    return f"{failure}{place}"
