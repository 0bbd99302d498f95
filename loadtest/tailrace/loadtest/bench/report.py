"""The tables of `make bench-mesh`, and its figures by name."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from tailrace.loadtest.bench.mesh_contenders import TITLES, WIDE_ROWS
from tailrace.loadtest.bench.ratios import BARS, BUSY
from tailrace.loadtest.bench.slices import Load, Results, Slice
from tailrace.loadtest.bench.spread import Spread

_MIB = 1024 * 1024


def print_loads(console: Console, results: Results) -> None:
    """Prints latency and throughput of every load."""
    table = _table("medians (min–max) over interleaved repeats", "load", "contender")
    for heading in ("p50 ms", "p99 ms", "rows per second", "convoy", "failed", "degraded", "wrong"):
        table.add_column(heading, justify="right")
    for load in sorted(results, key=_place):
        slices = results[load]
        table.add_row(
            describe(load),
            TITLES[load.contender],
            Spread.of([one.p50_ms for one in slices]).text(),
            Spread.of([one.p99_ms for one in slices]).text(1),
            Spread.of([one.rate for one in slices]).text(0),
            _convoy(slices),
            str(sum(sum(one.failed.values()) for one in slices)),
            str(sum(one.degraded for one in slices)),
            str(sum(one.wrong for one in slices)),
        )
    console.print(table)


def print_ratios(console: Console, ratios: Mapping[str, Spread]) -> None:
    """Prints the ratios, what they are to reach, and whether they do."""
    table = _table("ratios, repeat by repeat", "ratio")
    for heading in ("median (min–max)", "bar", "met"):
        table.add_column(heading, justify="right")
    for name, ratio in ratios.items():
        bar = BARS.get(name)
        met = "" if bar is None else "yes" if bar.met_by(ratio.median) else "no"
        table.add_row(name, ratio.text(3), bar.text() if bar else "", met)
    console.print(table)


def print_cpu(console: Console, results: Results, wide_in_flight: int) -> None:
    """Prints CPU time per prediction of each process, children included."""
    table = _table("CPU time per prediction, µs", "load", "contender")
    table.add_column("all", justify="right")
    table.add_column("of which")
    wanted = {("unary", 1), ("unary", BUSY), ("wide", wide_in_flight)}
    for load in sorted(results, key=_place):
        if (load.mode, load.in_flight) in wanted:
            cpu = cpu_by_process(results[load])
            parts = ", ".join(f"{name} {used:.0f}" for name, used in cpu.items())
            table.add_row(describe(load), TITLES[load.contender], f"{sum(cpu.values()):.0f}", parts)
    console.print(table)


def print_memory(console: Console, resident_bytes: Mapping[str, float]) -> None:
    """Prints the resident memory of every process, children included."""
    parts = ", ".join(f"{name} {size / _MIB:.0f}" for name, size in resident_bytes.items())
    console.print(f"resident memory, MiB: {parts}")


def print_machine(console: Console, results: Results) -> None:
    """Prints what took CPU time in each slice beside the contender and the generator."""
    idle = _over_all(results, lambda one: one.idle_cores)
    outside = _over_all(results, lambda one: one.outside_cores)
    console.print(
        f"cores taken by the other contenders, idle: {idle.text()}; "
        f"by processes outside the benchmark: {outside.text()}"
    )


def cpu_by_process(slices: Sequence[Slice]) -> dict[str, float]:
    """Returns the median CPU time per prediction by process, in microseconds."""
    return {
        name: statistics.median(one.cpu_us[name] for one in slices) for name in slices[0].cpu_us
    }


def figures_of(
    results: Results, ratios: Mapping[str, Spread], resident_bytes: Mapping[str, float]
) -> dict[str, object]:
    """Returns all figures by name: ratios at the top, everything else below."""
    return {
        **{name: ratio.median for name, ratio in ratios.items()},
        "spread": {name: [ratio.lowest, ratio.highest] for name, ratio in ratios.items()},
        "bars": {
            name: {"bar": bar.text(), "met": bar.met_by(ratios[name].median)}
            for name, bar in BARS.items()
            if name in ratios
        },
        "loads": {key_of(load): _figures(slices) for load, slices in results.items()},
        "resident_mib": {name: size / _MIB for name, size in resident_bytes.items()},
        "idle_cores": asdict(_over_all(results, lambda one: one.idle_cores)),
        "outside_cores": asdict(_over_all(results, lambda one: one.outside_cores)),
        "rows_checked": sum(one.checked for slices in results.values() for one in slices),
        "rows_degraded": sum(one.degraded for slices in results.values() for one in slices),
        "rows_wrong": sum(one.wrong for slices in results.values() for one in slices),
    }


def describe(load: Load) -> str:
    """Returns a load in words."""
    match load.mode:
        case "unary":
            return f"{load.in_flight} in flight"
        case "wide":
            return f"{load.in_flight} × {WIDE_ROWS} rows"
        case "open_own":
            return f"open loop, {load.rate:.0f}/s, own peak"
        case "open_shared":
            return f"open loop, {load.rate:.0f}/s, shared"


def key_of(load: Load) -> str:
    """Returns the name of a load among the figures, such as `mesh_unary_128`."""
    width = f"_{load.in_flight}" if load.in_flight else ""
    return f"{load.contender}_{load.mode}{width}"


def _figures(slices: Sequence[Slice]) -> dict[str, object]:
    failed: dict[str, int] = {}
    for one in slices:
        for status, rows in one.failed.items():
            failed[status] = failed.get(status, 0) + rows
    return {
        "p50_ms": asdict(Spread.of([one.p50_ms for one in slices])),
        "p99_ms": asdict(Spread.of([one.p99_ms for one in slices])),
        "rate": asdict(Spread.of([one.rate for one in slices])),
        "cpu_us": cpu_by_process(slices),
        "failed": failed,
        "convoy_rows": statistics.median(one.convoy_rows for one in slices),
        "checked": sum(one.checked for one in slices),
        "degraded": sum(one.degraded for one in slices),
        "wrong": sum(one.wrong for one in slices),
    }


def _over_all(results: Results, figure: Callable[[Slice], float]) -> Spread:
    return Spread.of([figure(one) for slices in results.values() for one in slices])


def _convoy(slices: Sequence[Slice]) -> str:
    rows = statistics.median(one.convoy_rows for one in slices)
    return f"{rows:.0f}" if rows else ""


def _place(load: Load) -> tuple[int, int, int]:
    modes = ("unary", "wide", "open_own", "open_shared")
    return modes.index(load.mode), load.in_flight, list(TITLES).index(load.contender)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    return table
