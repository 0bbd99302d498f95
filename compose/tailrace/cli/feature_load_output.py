"""What `tailrace features load` shows: how far it has come, and what it came to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tailrace.cli.feature_options import errors
from tailrace.features.load_report import LoadReport

# How often a plain line tells how far a load has come, in seconds.
_PLAIN_PROGRESS_S = 5.0


@contextlib.contextmanager
def progress(view: str) -> Iterator[Callable[[int, int | None], None]]:
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


def tell_resumed(view: str, rows: int) -> None:
    """Says that a load that died is gone on with."""
    text = f"Loading {view}: going on after {rows:,} rows that an earlier load has written"
    errors.print(text, highlight=False, soft_wrap=True)


def print_report(report: LoadReport) -> None:
    """Says what a load came to."""
    print_bad_rows(report.bad_rows)
    generation = f"{report.rows:,} rows in generation {report.generation}"
    until = "" if report.watermark_us is None else f", until {_instant(report.watermark_us)}"
    if report.unchanged:
        print(f"{report.view}: unchanged, {generation}{until}")
        return
    if report.incremental:
        did = f"{report.added:,} added, {report.updated:,} updated, {report.outdated:,} outdated; "
        rate = ""
    else:
        did = ""
        rate = f", {report.rows / max(report.seconds, 1e-9):,.0f} rows/s"
    print(
        f"{report.view}: {did}{generation}{until} ({report.seconds:.2f} s{rate}), "
        f"{sum(report.bad_rows.values()):,} bad rows left out"
    )


def print_bad_rows(bad_rows: Mapping[str, int]) -> None:
    """Tells the rows that were refused, the most frequent reason first."""
    for reason, count in sorted(bad_rows.items(), key=lambda item: -item[1]):
        errors.print(f"  {count:>10,}  {escape(reason)}", highlight=False, soft_wrap=True)


def _instant(at_us: int) -> str:
    try:
        return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{at_us} µs after 1970"  # beyond the years that Python knows
