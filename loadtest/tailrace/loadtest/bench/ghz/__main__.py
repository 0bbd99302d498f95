"""`make interop-ghz`: `tailrace load` beside the genuine ghz, in one run.

Both call the same server, written in Go. First at a rate, while the server waits by a recorded
schedule: what they tell of each kind of method has to agree. Then as fast as they can: what a call
costs. Writes `.bench/load.json`; ends with status 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tailrace.loadtest.bench.ghz import agreement, cost
from tailrace.loadtest.bench.ghz.tool_run import Tool, ToolRun, run_tool
from tailrace.loadtest.bench.ghz.workloads import AGREEMENTS, STREAM_COSTS, UNARY_COST, Workload

RATE_BAR = 0.3
MEMORY_CALLS = (100_000, 1_000_000)
# What a million calls may take beyond a tenth of them.
MEMORY_BAR = 1.1


def main() -> None:
    """Compares, prints tables, writes the figures."""
    options = _options()
    console = Console(width=120)
    ours = Tool("tailrace", (sys.executable, "-m", "tailrace.loadtest", "--progress", "off"))
    ghz = Tool("ghz", (str(options.ghz),))

    def waiting(tool: Tool, workload: Workload, flags: Sequence[str]) -> ToolRun:
        return run_tool(tool, workload, flags, options.echo, options.proto, options.waits)

    def at_once(tool: Tool, workload: Workload, flags: Sequence[str]) -> ToolRun:
        return run_tool(tool, workload, flags, options.echo, options.proto)

    agreements, costs = [], []
    with console.status("Comparing what both tell") as status:
        for workload in AGREEMENTS:
            status.update(f"Comparing what both tell: {workload.name}")
            agreements.append(
                agreement.compare(
                    *(ours, ghz, waiting, workload),
                    rate=options.rate,
                    calls=options.calls,
                    pairs=options.pairs,
                )
            )
        for workload in (UNARY_COST, *STREAM_COSTS):
            layouts = cost.LAYOUTS if workload is UNARY_COST else cost.STREAM_LAYOUTS
            costs.append(
                cost.measure(
                    *(ours, ghz, at_once, workload, layouts),
                    rounds=options.rounds,
                    seconds=options.seconds,
                    tell=status.update,
                )
            )
        status.update("A million calls")
        resident = cost.memory(ours, at_once, MEMORY_CALLS)
    console.print(_agreement_table(agreements), *map(_cost_table, costs))
    growth = resident[MEMORY_CALLS[-1]] / resident[MEMORY_CALLS[0]]
    console.print(
        *(f"rate_over_ghz, {one.workload}: {one.rate_over_ghz.text()}" for one in costs),
        f"bar {RATE_BAR}",
        ", ".join(f"{count:,} calls: {size / 2**20:.0f} MiB" for count, size in resident.items()),
        sep="\n",
    )
    unary, *streams = costs
    figures = {
        "rate_over_ghz": dataclasses.asdict(unary.rate_over_ghz),
        "agreement": [dataclasses.asdict(each) for each in agreements],
        "cells": [dataclasses.asdict(each) for each in unary.cells],
        "streams": [dataclasses.asdict(each) for each in streams],
        "resident_bytes": resident,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {options.json}")
    held = {
        "agreement": all(each.holds for each in agreements),
        "rate_over_ghz": all(one.rate_over_ghz.median >= RATE_BAR for one in costs),
        "memory": growth <= MEMORY_BAR,
    }
    missed = [name for name, kept in held.items() if not kept]
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tailrace.loadtest.bench.ghz",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--ghz", type=Path, required=True, help="the genuine ghz")
    add("--echo", type=Path, required=True, help="the server")
    add("--proto", type=Path, default=Path("loadtest/interop/echo/echo.proto"), help="its methods")
    add("--waits", type=Path, default=Path("loadtest/interop/waits.txt"), help="how long it waits")
    add("--rate", type=int, default=400, help="calls a second, where what is told is compared")
    add("--calls", type=int, default=1000, help="calls of each run there")
    add("--pairs", type=int, default=3, help="runs of each tool there")
    add("--rounds", type=int, default=3, help="measurements of each cell at full speed")
    add("--seconds", type=float, default=2.0, help="length of each")
    add("--json", type=Path, default=Path(".bench/load.json"), help="where to write figures")
    return parser.parse_args()


def _agreement_table(agreements: Sequence[agreement.Agreement]) -> Table:
    table = Table(
        "calls", *(f"{name} (within {bound:.0%})" for name, bound in agreement.BOUNDS.items())
    )
    table.title = "ours to ghz's, medians (lowest–highest)"
    for each in agreements:
        table.add_row(each.workload, *(each.ratios[name].text(3) for name in agreement.BOUNDS))
    return table


def _cost_table(costs: cost.Costs) -> Table:
    table = Table("tool", "callers", "connections", "calls/s", "tool µs/call", "server µs/call")
    table.title = costs.workload
    best = {costs.best(name) for name in {cell.tool for cell in costs.cells}}
    for cell in costs.cells:
        figures = [cell.rate.text(0), cell.tool_us.text(1), cell.server_us.text(1)]
        row = [cell.tool, str(cell.callers), str(cell.connections), *figures]
        table.add_row(*row, style="bold" if cell in best else "")
    return table


if __name__ == "__main__":
    main()
