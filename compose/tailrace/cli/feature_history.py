"""`tailrace features history`: computes training sets from files."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import pyarrow.parquet as parquet
import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tailrace.cli.feature_options import (
    AsJson,
    FeaturesFailed,
    ViewsDir,
    errors,
    features_settings,
    view_files,
)
from tailrace.cli.history_request import HistoryRequest, views_at
from tailrace.features.history.engine import DEFAULT_MEMORY_MB, EngineOptions
from tailrace.features.history.errors import (
    HistoryFailed,
    InstantColumnMissing,
    KeyColumnMissing,
)
from tailrace.features.history.report import HistoryReport
from tailrace.features.history.training_set import TrainingSet, training_set

# How often a plain line tells how far it has come, in seconds.
_PLAIN_PROGRESS_S = 5.0


def register(app: typer.Typer) -> None:
    """Adds the command to `tailrace features`."""
    app.command()(history)


def history(
    view: Annotated[
        list[str],
        typer.Option(help="A view: VIEW, or NAME=VIEW to name its columns otherwise; repeat it."),
    ],
    instants: Annotated[
        Path,
        typer.Option(help="Parquet or CSV: keys of entities, and when; other columns stay."),
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    events: Annotated[
        list[str] | None,
        typer.Option(help="Events, Parquet, CSV or NDJSON: FILE, or EVENT=FILE for each type."),
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(help="VIEW=FILE: rows of a static view; by default, what its source names."),
    ] = None,
    timestamp: Annotated[
        list[str] | None,
        typer.Option(help="VIEW=COLUMN: says when each row of a static view was true."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="NAME.KEY=COLUMN: column of the instants for a key of a view."),
    ] = None,
    at: Annotated[str, typer.Option(help="Column of the instants that says when.")] = "at",
    views_dir: ViewsDir = None,
    memory_mb: Annotated[
        int, typer.Option(min=64, help="Most memory of DuckDB, MiB; the rest goes to disk.")
    ] = DEFAULT_MEMORY_MB,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of DuckDB; by default, one per core.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute features at given instants from files, for training.

    Each instant gets what a lookup would have answered then: of windowed views, from the events
    that were known at it; of static views, the latest row that is not after it. Event files have
    the columns id, event_time, known_at, and one per field of the event type. Without known_at,
    an event is taken to be known when it happened.
    """
    if out.suffix not in (".parquet", ".pq"):
        raise FeaturesFailed(f"--out {out}: the name should end in .parquet")
    found = view_files(features_settings(None), views_dir)
    request = HistoryRequest(view, events or (), rows or (), timestamp or (), key or ())
    options = EngineOptions(memory_mb=memory_mb, threads=threads)
    try:
        with contextlib.ExitStack() as open_files, _progress() as on_progress:
            wanted = views_at(request, found, open_files)
            made = training_set(wanted, instants, at=at, options=options, on_progress=on_progress)
    except InstantColumnMissing as failure:
        hint = "--at COLUMN says which column says when"
        raise FeaturesFailed(f"{failure} ({hint})") from failure
    except KeyColumnMissing as failure:
        hint = f"--key NAME.{failure.key}=COLUMN says which column is the key"
        raise FeaturesFailed(f"{failure} ({hint})") from failure
    except HistoryFailed as failure:
        raise FeaturesFailed(str(failure)) from failure
    _tell_known(made.report)
    _write(made, out)
    if as_json:
        print(json.dumps(made.report.to_dict()))
    else:
        _print_report(made.report, out)


def _tell_known(report: HistoryReport) -> None:
    for name, read in report.events.items():
        if read.known_when_happened:
            errors.print(
                f"{escape(name)}: no column known_at; each event is taken to be known when it "
                "happened (event_time)",
                highlight=False,
                soft_wrap=True,
            )


def _write(made: TrainingSet, out: Path) -> None:
    # What is there under the name is always complete.
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        parquet.write_table(made.table, part)
        part.replace(out)
    except OSError as error:
        raise FeaturesFailed(f"{out} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Shows a bar per view on a terminal, and a line now and then elsewhere."""
    if not errors.is_terminal:
        last_told = time.monotonic()

        def tell(view: str, done: int, total: int) -> None:
            nonlocal last_told
            if time.monotonic() - last_told >= _PLAIN_PROGRESS_S:
                last_told = time.monotonic()
                errors.print(f"Computing {view}: {done / total:.0%}", highlight=False)

        yield tell
        return
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=errors) as bar:
        tasks = {}

        def show(view: str, done: int, total: int) -> None:
            if view not in tasks:
                tasks[view] = bar.add_task(escape(view), total=total)
            bar.update(tasks[view], completed=done, total=total)

        yield show


def _print_report(report: HistoryReport, out: Path) -> None:
    for what, reads in (("events", report.events), ("rows", report.rows)):
        for name, read in reads.items():
            print(f"{name}: {read.read:,} {what}, {sum(read.refused.values()):,} refused")
            for reason, count in sorted(read.refused.items(), key=lambda item: -item[1]):
                errors.print(f"  {count:>10,}  {escape(reason)}", highlight=False)
    for name, view in report.views.items():
        left_out = f", {view.duplicates:,} duplicates, {view.late:,} late" * (
            name not in report.rows
        )
        print(f"{name}: {view.applied:,} applied{left_out}; {view.missing:,} instants missing")
    print(f"{out}: {report.instants:,} rows ({report.seconds:.2f} s)")
