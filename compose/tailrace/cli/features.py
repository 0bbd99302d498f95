"""`tailrace features`: loads feature views and lists them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tailrace.cli.local.errors import LaunchError
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_options import BadRowLimit, LoadOptions
from tailrace.features.load_report import LoadReport
from tailrace.features.loader import load_view
from tailrace.features.pointer import KeyNames, Pointer
from tailrace.features.redis_link import RedisLink
from tailrace.features.row_schema import row_schema
from tailrace.runtime.config import FeaturesSettings, load_settings
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.pipeline.directory import features_directory, load_views
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.problem import nearest

app = typer.Typer(
    help="Load feature views, and list them.", no_args_is_help=True, add_completion=False
)

_errors = Console(stderr=True)
# How often a plain line tells how far a load has come, in seconds.
_PLAIN_PROGRESS_S = 5.0


class FeaturesFailed(LaunchError):
    """A command could not do what it was asked to."""


RedisUrl = Annotated[
    str | None,
    typer.Option(help="Redis that holds the features; by default TAILRACE_FEATURE_REDIS_URL."),
]
ViewsDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the view files; by default `features` beside TAILRACE_PIPELINES_DIR.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
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
    settings = _settings(redis_url)
    found = _find_view(view, _views_dir(settings, views_dir))
    options = LoadOptions(
        timestamp_column=timestamp_column,
        max_bad_rows=_bad_row_limit(max_bad_rows),
        null_texts=tuple(null) if null else ("",),
        if_changed=if_changed,
    )
    try:
        report = asyncio.run(_load(found, file, settings, options))
    except LoadFailed as failure:
        _print_bad_rows(failure.bad_rows)
        place = f" (Redis at {_place(settings)})" if _is_of_store(failure) else ""
        raise FeaturesFailed(f"{failure}{place}") from failure
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        _print_report(report)


@app.command()
def views(redis_url: RedisUrl = None, views_dir: ViewsDir = None, as_json: AsJson = False) -> None:
    """List the feature views and what is loaded of each."""
    settings = _settings(redis_url)
    folder = _views_dir(settings, views_dir)
    found = load_views(folder)
    known, problems = found.views, found.errors
    for problem in problems.values():
        _errors.print(escape(str(problem)), style="red", highlight=False, soft_wrap=True)
    try:
        pointers = asyncio.run(_pointers(list(known), settings))
    except TailraceError as error:
        raise FeaturesFailed(f"{error.message} (Redis at {_place(settings)})") from error
    if as_json:
        print(json.dumps([_view_summary(known[name], pointers[name]) for name in sorted(known)]))
    else:
        _print_views(known, pointers)
    if problems:
        raise typer.Exit(1)


async def _load(
    view: FeatureView, file: Path, settings: FeaturesSettings, options: LoadOptions
) -> LoadReport:
    link = _link(settings)
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
    if not _errors.is_terminal:
        last_told = time.monotonic()

        def tell(done: int, total: int | None) -> None:
            nonlocal last_told
            if time.monotonic() - last_told >= _PLAIN_PROGRESS_S:
                last_told = time.monotonic()
                of_total = "" if total is None else f" of {total:,}"
                _errors.print(f"Loading {view}: {done:,}{of_total} rows", highlight=False)

        yield tell
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeElapsedColumn())
    title = TextColumn(f"Loading {view}")
    with Progress(title, *columns, console=_errors, transient=True) as bar:
        task = bar.add_task(view, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


async def _pointers(names: list[str], settings: FeaturesSettings) -> dict[str, Pointer | None]:
    if not names:
        return {}
    link = _link(settings)
    keys = KeyNames(settings.feature_key_prefix)
    try:
        stored = await link.call("MGET", *[keys.pointer(name) for name in names])
    finally:
        await link.close()
    return {
        name: None if data is None else Pointer.from_json(name, data)
        for name, data in zip(names, stored, strict=True)
    }


def _link(settings: FeaturesSettings) -> RedisLink:
    try:
        return RedisLink(settings.feature_redis_url, client_name="tailrace-features-cli")
    except ValueError as error:
        raise FeaturesFailed(f"the Redis URL cannot be used: {error}") from error


def _is_of_store(failure: LoadFailed) -> bool:
    return isinstance(failure.__cause__, TailraceError)


def _place(settings: FeaturesSettings) -> str:
    """Returns where Redis is, without what the URL may hold of credentials."""
    url = urlsplit(settings.feature_redis_url)
    return url.path if url.scheme == "unix" else url.netloc.rpartition("@")[2]


def _settings(redis_url: str | None) -> FeaturesSettings:
    overrides = {} if redis_url is None else {"feature_redis_url": redis_url}
    return load_settings(FeaturesSettings, **overrides)


def _views_dir(settings: FeaturesSettings, chosen: Path | None) -> Path:
    folder = features_directory(settings.pipelines_dir) if chosen is None else chosen
    if not folder.is_dir():
        raise FeaturesFailed(f"there is no folder {folder}; name that of the views: --views-dir")
    return folder


def _find_view(name: str, folder: Path) -> FeatureView:
    found = load_views(folder)
    known = found.views
    if name in known:
        return known[name]
    for problem in found.errors.values():
        _errors.print(escape(str(problem)), style="red", highlight=False, soft_wrap=True)
    hint = nearest(name, known)
    suggestion = f"; did you mean {hint!r}?" if hint else ""
    raise FeaturesFailed(f"no view {name!r} in {folder}{suggestion}")


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
        _errors.print(f"  {count:>10,}  {escape(reason)}", highlight=False)


def _print_views(known: Mapping[str, FeatureView], pointers: Mapping[str, Pointer | None]) -> None:
    headings = ("view", "keys", "features", "rows", "loaded", "source", "generation")
    table = Table(*headings, box=None)
    for name in sorted(known):
        summary = _view_summary(known[name], pointers[name])
        keys = ", ".join(key.name for key in known[name].keys)
        table.add_row(*[escape(str(cell)) for cell in (name, keys, *_cells(summary))])
    Console().print(table)


def _cells(summary: Mapping[str, object]) -> tuple[object, ...]:
    features = summary["features"]
    if not summary["loaded"]:
        return features, "-", "never", "-", "-"
    loaded = f"{summary['age_s']} s ago" if summary["schema_matches"] else "other schema"
    return features, summary["rows"], loaded, summary["source"], summary["generation"]


def _view_summary(view: FeatureView, pointer: Pointer | None) -> dict[str, object]:
    summary: dict[str, object] = {
        "view": view.view,
        "entity": view.entity,
        "keys": [key.name for key in view.keys],
        "features": len(view.features),
        "loaded": pointer is not None,
    }
    if pointer is not None:
        summary |= {
            "rows": pointer.rows,
            "generation": pointer.generation,
            "source": pointer.source,
            "age_s": max(0, round(time.time() - pointer.loaded_at_us / 1e6)),
            "schema_matches": pointer.schema_id == row_schema(view).schema_id,
        }
    return summary
