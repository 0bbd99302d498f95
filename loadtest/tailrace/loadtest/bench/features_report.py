"""Tables and figures of `make bench-features`."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata

from rich.console import Console
from rich.table import Table

from tailrace.loadtest.bench.features_ratios import BARS, Subject, targets_of
from tailrace.loadtest.bench.features_run import FeatureRun
from tailrace.loadtest.bench.spread import Spread


def figures_of(run: FeatureRun, ratios: Mapping[str, Spread], redis: str) -> dict[str, object]:
    """Returns what goes into the file; `redis` is the server's version."""
    met = targets_of(ratios)
    return {
        **{name: spread.median for name, spread in ratios.items()},
        **{
            f"{name}_target": {"bar": BARS[name].text(), "met": reached}
            for name, reached in met.items()
        },
        "spreads": {name: asdict(spread) for name, spread in ratios.items()},
        "lookups": {
            f"{subject.contender} {subject.rows} {subject.events}": {
                "p50_us": asdict(Spread.of([one.p50_us for one in slices])),
                "p99_us": asdict(Spread.of([one.p99_us for one in slices])),
                "calls": sum(one.calls for one in slices),
                "wrong": sum(one.wrong for one in slices),
            }
            for subject, slices in run.figures.lookups.items()
        },
        "loads": {
            name: {**asdict(load), "entities_per_s": load.entities / load.seconds}
            for name, load in run.loaded.items()
        },
        "grpc_adds_us": {rows: _hop_us(run, rows) for rows in (1, 100)},
        "service_cpu_us": {
            rows: asdict(Spread.of(found)) for rows, found in run.service_cpu_us.items()
        },
        "event_cpu_us": _event_cpu(run),
        "outside_cores": asdict(Spread.of(run.outside_cores)),
        "idle_cores": asdict(Spread.of(run.idle_cores)),
        "versions": {"redis": redis, **_own_versions(), "feast": run.versions},
    }


def print_report(console: Console, run: FeatureRun, ratios: Mapping[str, Spread]) -> None:
    """Prints loads, latencies, events, and how the targets stand."""
    table = _table("Loads", "", "entities", "per second", "bytes per entity in Redis")
    for name, load in run.loaded.items():
        rate = f"{load.entities / load.seconds:,.0f}"
        table.add_row(name, f"{load.entities:,}", rate, f"{load.bytes_per_entity:.0f}")
    console.print(table)
    title = "Lookups, µs, median of the repeats (min–max)"
    table = _table(title, "", "rows", "beside events", "p50", "p99", "calls")
    for subject, slices in run.figures.lookups.items():
        table.add_row(
            subject.contender,
            str(subject.rows),
            "" if subject.events == "none" else subject.events,
            Spread.of([one.p50_us for one in slices]).text(0),
            Spread.of([one.p99_us for one in slices]).text(0),
            f"{sum(one.calls for one in slices):,}",
        )
    console.print(table)
    for rows, found in run.service_cpu_us.items():
        console.print(
            f"gRPC adds {_hop_us(run, rows):.0f} µs to a lookup, rows: {rows}; the service takes "
            f"{Spread.of(found).text(0)} µs of CPU for it"
        )
    per_event = ", ".join(f"{name} {us:.1f}" for name, us in _event_cpu(run).items())
    console.print(f"CPU per event at the peak, µs: {per_event}")
    table = _table("Ratios", "figure", "median (min–max)", "aim", "")
    for name, spread in ratios.items():
        bar = BARS.get(name)
        aim = "" if bar is None else bar.text()
        met = "" if bar is None else ("met" if bar.met_by(spread.median) else "missed")
        table.add_row(name, spread.text(), aim, met)
    console.print(table)
    console.print(
        f"processes outside the benchmark took {Spread.of(run.outside_cores).text()} cores, those "
        f"of it that had nothing to do {Spread.of(run.idle_cores).text(3)}"
    )


def _hop_us(run: FeatureRun, rows: int) -> float:
    lookups = run.figures.lookups
    grpc, ours = lookups[Subject("grpc", rows)], lookups[Subject("ours", rows)]
    return statistics.median(a.p50_us - b.p50_us for a, b in zip(grpc, ours, strict=True))


def _event_cpu(run: FeatureRun) -> dict[str, float]:
    return {
        name: statistics.median(one[name] for one in run.event_cpu_us)
        for name in run.event_cpu_us[0]
    }


def _own_versions() -> dict[str, str]:
    names = ("redis", "hiredis", "uvloop", "numpy", "grpcio")
    found = {f"{name} (Python)": metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    return table
