"""The tables of `make bench-telemetry`, and its figures by name."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata

import psutil
from rich.console import Console
from rich.table import Table

from tailrace.loadtest.bench.slices import Slice
from tailrace.loadtest.bench.spread import Spread
from tailrace.loadtest.bench.telemetry_ratios import BARS, mesh_cpu_us
from tailrace.loadtest.bench.telemetry_run import SERVICES, LoadResults, mean_convoy
from tailrace.loadtest.bench.telemetry_servers import COUNTERPARTS
from tailrace.loadtest.bench.telemetry_variants import OFF, VARIANTS

_MIB = 1024 * 1024
_TITLES = {one.name: one.title for one in (OFF, *VARIANTS)}


def print_report(
    console: Console,
    loads: Sequence[LoadResults],
    ratios: Mapping[str, Spread],
    parts: Mapping[str, Spread],
) -> None:
    """Prints all tables."""
    for load in loads:
        if load.pairs:
            _print_load(console, load)
    table = _table("ratios to everything off, pair by pair", "ratio")
    for heading in ("median (min–max)", "bar", "met"):
        table.add_column(heading, justify="right")
    for name, ratio in ratios.items():
        bar = BARS.get(name)
        met = "" if bar is None else "yes" if bar.met_by(ratio.median) else "no"
        table.add_row(name, ratio.text(3), bar.text() if bar else "", met)
    console.print(table)
    table = _table("parts, alone in one process", "part")
    table.add_column("µs of CPU per request", justify="right")
    for name, used in parts.items():
        table.add_row(name, used.text(1))
    console.print(table)
    slices = [one for load in loads for one in load.slices()]
    console.print(
        f"cores taken by all other meshes, idle: {_over(slices, _idle).text(3)}; by processes "
        f"outside the benchmark: {_over(slices, _outside).text()}; {_machine()}"
    )


def figures_of(
    loads: Sequence[LoadResults],
    ratios: Mapping[str, Spread],
    parts: Mapping[str, Spread],
    resident_bytes: Mapping[str, float],
) -> dict[str, object]:
    """Returns all figures by name: ratios at the top, everything else below."""
    slices = [one for load in loads for one in load.slices()]
    return {
        **{name: ratio.median for name, ratio in ratios.items()},
        "spread": {name: [ratio.lowest, ratio.highest] for name, ratio in ratios.items()},
        "bars": {
            name: {"bar": bar.text(), "met": bar.met_by(ratios[name].median)}
            for name, bar in BARS.items()
            if name in ratios
        },
        "loads": [_load_figures(load) for load in loads if load.pairs],
        "parts_us": {name: asdict(used) for name, used in parts.items()},
        "idle_cores": asdict(_over(slices, _idle)),
        "outside_cores": asdict(_over(slices, _outside)),
        "resident_mib": {name: size / _MIB for name, size in resident_bytes.items()},
        "rows_checked": sum(one.checked for one in slices),
        "rows_failed": sum(sum(one.failed.values()) for one in slices),
        "rows_wrong": sum(one.wrong for one in slices),
        "machine": _machine(),
    }


def _print_load(console: Console, load: LoadResults) -> None:
    convoy = mean_convoy(load.convoy_sizes)
    table = _table(
        f"{load.rate:g} predictions a second, {convoy:.2f} requests per convoy",
        "variant",
    )
    for heading in ("mesh, CPU µs per prediction", "Triton", "Redis", "counterparts"):
        table.add_column(heading, justify="right")
    for heading in ("p50 ms", "p99 ms", "failed", "wrong", "pairs"):
        table.add_column(heading, justify="right")
    for name, slices in _by_variant(load).items():
        table.add_row(
            _TITLES[name],
            _over(slices, _mesh_us).text(0),
            *(_over(slices, _of(part)).text(0) for part in ("triton", "redis", COUNTERPARTS)),
            _over(slices, lambda one: one.p50_ms).text(),
            _over(slices, lambda one: one.p99_ms).text(1),
            str(sum(sum(one.failed.values()) for one in slices)),
            str(sum(one.wrong for one in slices)),
            str(len(slices)),
        )
    console.print(table)


def _load_figures(load: LoadResults) -> dict[str, object]:
    return {
        "rate": load.rate,
        "rows_per_message": load.rows,
        "mean_convoy_rows": mean_convoy(load.convoy_sizes),
        "variants": {name: _figures(slices) for name, slices in _by_variant(load).items()},
    }


def _figures(slices: Sequence[Slice]) -> dict[str, object]:
    return {
        "pairs": len(slices),
        "mesh_cpu_us": asdict(_over(slices, _mesh_us)),
        "cpu_us": {
            name.partition(" ")[2] or name: statistics.median([one.cpu_us[name] for one in slices])
            for name in slices[0].cpu_us
        },
        "p50_ms": asdict(_over(slices, lambda one: one.p50_ms)),
        "p99_ms": asdict(_over(slices, lambda one: one.p99_ms)),
        "rate": asdict(_over(slices, lambda one: one.rate)),
        "failed": _failed(slices),
    }


def _failed(slices: Sequence[Slice]) -> dict[str, int]:
    failed: dict[str, int] = {}
    for one in slices:
        for status, rows in one.failed.items():
            failed[status] = failed.get(status, 0) + rows
    return failed


def _by_variant(load: LoadResults) -> dict[str, list[Slice]]:
    off: dict[int, Slice] = {}
    for pair in load.pairs.values():
        # The same slice stands beside two variants.
        off |= {id(one): one for one in pair.off}
    return {OFF.name: list(off.values())} | {
        name: pair.variant for name, pair in load.pairs.items()
    }


def _mesh_us(one: Slice) -> float:
    return mesh_cpu_us(one, SERVICES)


def _of(process: str) -> Callable[[Slice], float]:
    return lambda one: one.cpu_us[process]


def _idle(one: Slice) -> float:
    return one.idle_cores


def _outside(one: Slice) -> float:
    return one.outside_cores


def _over(slices: Sequence[Slice], figure: Callable[[Slice], float]) -> Spread:
    return Spread.of([figure(one) for one in slices])


def _machine() -> dict[str, object]:
    versions = ("grpcio", "uvloop", "protobuf", "prometheus_client", "opentelemetry-sdk")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": [round(one, 2) for one in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in versions},
    }


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    return table
