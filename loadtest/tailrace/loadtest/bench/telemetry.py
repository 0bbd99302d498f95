"""`make bench-telemetry`: what traces, metrics and log lines cost, in one run.

Starts a mesh of each variant, around one Redis and one Triton, and loads them in turn at the same
fixed rate: each next to the mesh that has everything off. Prints tables and writes
`.bench/telemetry.json`, whose ratios stand at the top by name.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import uvloop
from rich.console import Console

from tailrace.cli.example import load_example
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.preparation import prepare
from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.generators import Generators
from tailrace.loadtest.bench.telemetry_parts import measure_parts
from tailrace.loadtest.bench.telemetry_ratios import ratios_of
from tailrace.loadtest.bench.telemetry_report import figures_of, print_report
from tailrace.loadtest.bench.telemetry_run import SERVICES, LoadResults, Planned, TelemetryRun
from tailrace.loadtest.bench.telemetry_servers import TelemetryServers
from tailrace.loadtest.bench.telemetry_variants import OFF, VARIANTS

STATE_DIR = Path(".tailrace").absolute()
# A terminal's usual width would cut the figures.
TABLE_WIDTH = 160
IN_CONVOYS = ("control", "sampled", "all")
"""Variants that are measured with requests in convoys, too."""


async def run(options: argparse.Namespace, console: Console) -> None:
    """Starts everything, measures, reports, stops everything."""
    ends_s = time.monotonic() + options.limit
    steps = Steps(console)
    prepared = await prepare(load_example(options.example), STATE_DIR / "prepared", steps)
    folder = MeshFolder(STATE_DIR, "bench-telemetry")
    with steps.step("Measuring the parts, within one process"):
        parts = measure_parts(prepared.example.pipelines_dir)
    variants = [one for one in VARIANTS if one.name in options.variants]
    names = [one.name for one in variants]
    alone = LoadResults(options.rate)
    convoys = LoadResults(options.convoy_rate, options.convoy)
    with folder.claimed():
        servers = TelemetryServers(folder, prepared, steps)
        try:
            await servers.start([OFF, *variants], STATE_DIR / "cache")
            with Generators(1) as generators:
                this = TelemetryRun(servers, generators, folder.path, options.seconds)
                loads: list[Planned] = [(alone, names)]
                under_both = [name for name in names if name in IN_CONVOYS]
                if options.convoy > 1 and under_both:
                    loads.append((convoys, under_both))
                with steps.step("Warming up"):
                    await this.prepare(prepared, loads)
                with steps.step("Measuring") as step:
                    await this.compare(loads, options.pairs, ends_s, step.tell)
                resident = this.resident_bytes()
        finally:
            await servers.stop()
    ratios = ratios_of(alone.pairs, SERVICES)
    ratios |= ratios_of(convoys.pairs, SERVICES, "_in_convoys")
    print_report(console, [alone, convoys], ratios, parts)
    figures = figures_of([alone, convoys], ratios, parts, resident)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {options.json}")


def parse_options() -> argparse.Namespace:
    """Returns the options; ends the process where they cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tailrace.loadtest.bench.telemetry",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    names = [one.name for one in VARIANTS]
    add = parser.add_argument
    add("--example", type=Path, default=Path("examples/flights"), help="the flights example")
    add("--variants", nargs="+", choices=names, default=names, help="what is compared with off")
    add("--pairs", type=int, default=8, help="slices of each variant, each beside one of off")
    add("--seconds", type=float, default=2.5, help="length of a slice")
    add("--rate", type=float, default=80.0, help="predictions per second, one a message")
    add("--convoy", type=int, default=16, help="predictions a message of the other load; 1: none")
    add("--convoy-rate", type=float, default=400.0, help="predictions per second of that load")
    add("--limit", type=float, default=480.0, help="seconds after which no round begins")
    add("--json", type=Path, default=Path(".bench/telemetry.json"), help="where to write figures")
    return parser.parse_args()


def main() -> None:
    """Parses the command line and runs."""
    uvloop.run(run(parse_options(), Console(width=TABLE_WIDTH)))


if __name__ == "__main__":
    main()
