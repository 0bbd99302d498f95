"""Tables and figures of `make bench-submissions`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from tailrace.loadtest.bench.ratios import Bar
from tailrace.loadtest.bench.slices import Slice
from tailrace.loadtest.bench.spread import Spread
from tailrace.loadtest.bench.submission_loads import SubmissionLoad, SubmissionSlice
from tailrace.loadtest.bench.submission_run import (
    MANY,
    SINGLE,
    SubmissionResults,
    SubmissionRun,
    SynchronousResults,
)

BARS = {
    "delivered_over_stream": Bar(0.5, True),
    "delivered_over_unary": Bar(0.3, True),
    "acknowledge_p99_at_half_peak_ms": Bar(20, False),
}
"""What is to be reached, by name of the figure."""

_FIGURES: dict[str, Callable[[SubmissionSlice], float]] = {
    "acknowledged": lambda one: one.acknowledged,
    "delivered": lambda one: one.delivered,
    "p50_ms": lambda one: one.p50_ms,
    "p99_ms": lambda one: one.p99_ms,
    "delivered_p50_ms": lambda one: one.delivered_p50_ms,
    "delivered_p99_ms": lambda one: one.delivered_p99_ms,
}


def targets_of(run: SubmissionRun) -> dict[str, Spread]:
    """Returns the figures with a bar that were measured; ratios are of slices of one repeat."""
    targets = {}
    if MANY in run.submitted:
        targets["delivered_over_stream"] = _ratio(run.submitted[MANY], run.synchronous, "stream")
    if SINGLE in run.submitted:
        targets["delivered_over_unary"] = _ratio(run.submitted[SINGLE], run.synchronous, "unary")
    for load, slices in run.submitted.items():
        if load.name == "half_peak_everysec":
            spread = Spread.of([one.p99_ms for one in slices])
            targets["acknowledge_p99_at_half_peak_ms"] = spread
    return targets


def figures_of(run: SubmissionRun, targets: dict[str, Spread]) -> dict[str, object]:
    """Returns what goes into the file."""
    slices = [one for many in run.submitted.values() for one in many]
    return {
        **{name: spread.median for name, spread in targets.items()},
        **{
            f"{name}_target": {"bar": BARS[name].text(), "met": BARS[name].met_by(spread.median)}
            for name, spread in targets.items()
        },
        "spreads": {name: asdict(spread) for name, spread in targets.items()},
        "synchronous_per_s": {
            name: asdict(Spread.of([one.rate for one in many]))
            for name, many in run.synchronous.items()
        },
        "synchronous_cpu_us": {name: cpu_of(many) for name, many in run.synchronous.items()},
        "loads": {load.name: _load_figures(load, many) for load, many in run.submitted.items()},
        "submitted": sum(one.submitted for one in slices),
        "wrong": sum(one.wrong for one in slices),
        "degraded": sum(one.degraded for one in slices),
        "outside_cores": asdict(Spread.of([one.outside_cores for one in slices])),
    }


def print_report(console: Console, run: SubmissionRun, targets: dict[str, Spread]) -> None:
    """Prints rates and latencies, CPU, and how the targets stand."""
    _print_loads(console, run.synchronous, run.submitted)
    _print_cpu(console, run.synchronous, run.submitted)
    table = _table("Targets", "figure", "median (min–max)", "aim", "")
    for name, spread in targets.items():
        met = "met" if BARS[name].met_by(spread.median) else "missed"
        table.add_row(name, spread.text(), BARS[name].text(), met)
    console.print(table)
    outside = Spread.of([one.outside_cores for many in run.submitted.values() for one in many])
    console.print(f"processes outside the benchmark took {outside.text()} cores")


def cpu_of(slices: Sequence[SubmissionSlice] | Sequence[Slice]) -> dict[str, float]:
    """Returns the median CPU time per submission of each process, in microseconds."""
    return {
        name: statistics.median(one.cpu_us[name] for one in slices) for name in slices[0].cpu_us
    }


def _print_loads(
    console: Console, synchronous: SynchronousResults, submitted: SubmissionResults
) -> None:
    table = _table(
        "Rates and latencies, median (min–max)",
        "",
        "acknowledged/s",
        "delivered/s",
        "acknowledged p50 ms",
        "p99 ms",
        "delivered p50 ms",
        "p99 ms",
    )
    for name, many in synchronous.items():
        rate = Spread.of([one.rate for one in many]).text(0)
        p50 = Spread.of([one.p50_ms for one in many]).text(1)
        p99 = Spread.of([one.p99_ms for one in many]).text(1)
        table.add_row(f"synchronous, {name}", "", "", "", "", f"{rate} /s, {p50}", p99)
    for load, slices in submitted.items():
        cells = [
            Spread.of([figure(one) for one in slices]).text(0 if "ms" not in name else 1)
            for name, figure in _FIGURES.items()
        ]
        table.add_row(load.name, *cells)
    console.print(table)


def _print_cpu(
    console: Console, synchronous: SynchronousResults, submitted: SubmissionResults
) -> None:
    loads = [load for load in submitted if load.durability == "everysec"]
    table = _table("CPU time per prediction, µs", "", *synchronous, *(load.name for load in loads))
    columns = [cpu_of(many) for many in synchronous.values()]
    columns += [cpu_of(submitted[load]) for load in loads]
    for name in columns[-1]:
        table.add_row(
            name, *(f"{column[name]:.0f}" if name in column else "" for column in columns)
        )
    table.add_row("all", *(f"{sum(column.values()):.0f}" for column in columns))
    console.print(table)


def _load_figures(load: SubmissionLoad, slices: Sequence[SubmissionSlice]) -> dict[str, object]:
    failed: dict[str, int] = {}
    for one in slices:
        for status, rows in one.failed.items():
            failed[status] = failed.get(status, 0) + rows
    return {
        "rate": load.rate,
        **{
            name: asdict(Spread.of([figure(one) for one in slices]))
            for name, figure in _FIGURES.items()
        },
        "failed": failed,
        "cpu_us": cpu_of(slices),
    }


def _ratio(slices: Sequence[SubmissionSlice], synchronous: SynchronousResults, name: str) -> Spread:
    pairs = zip(slices, synchronous[name], strict=True)
    return Spread.of([one.delivered / other.rate for one, other in pairs])


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    return table
