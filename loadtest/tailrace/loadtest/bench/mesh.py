"""`make bench-mesh`: the mesh beside all that could be built instead, in one run.

Starts a mesh with remote placement, gateways with local placement, a plain chain and a Triton with
a BLS model on the flights example, with one Redis for all, and loads them in turn, repeat by
repeat. Prints tables and writes `.bench/mesh.json`, whose ratios stand at the top by name.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import uvloop
from rich.console import Console

from tailrace.cli.example import load_example
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.preparation import prepare
from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.generators import Generators
from tailrace.loadtest.bench.options import parse_options
from tailrace.loadtest.bench.ratios import ratios_of
from tailrace.loadtest.bench.report import (
    figures_of,
    print_cpu,
    print_loads,
    print_machine,
    print_memory,
    print_ratios,
)
from tailrace.loadtest.bench.run import Run
from tailrace.loadtest.bench.servers import BenchServers

STATE_DIR = Path(".tailrace").absolute()
# A terminal's usual width would cut the figures.
TABLE_WIDTH = 160


async def run(options: argparse.Namespace, console: Console) -> None:
    """Starts everything, measures, reports, stops everything."""
    steps = Steps(console)
    prepared = await prepare(load_example(options.example), STATE_DIR / "prepared", steps)
    folder = MeshFolder(STATE_DIR, "bench-mesh")
    with folder.claimed():
        servers = BenchServers(
            folder,
            prepared,
            STATE_DIR / "cache",
            steps,
            workers=options.workers,
            flights_instances=options.flights_instances,
        )
        try:
            await servers.start(options.contenders)
            with Generators(options.generators) as generators:
                this = Run(options, servers, generators, folder.path, steps, console)
                figures = await _measure(this)
        finally:
            await servers.stop()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {options.json}")


async def _measure(run: Run) -> dict[str, object]:
    tuned = await run.tune()
    contenders, difference = await run.contenders()
    if run.options.soak:
        return await run.soak(contenders)
    results = await run.compare(contenders)
    resident = run.usage().resident_bytes()
    wide = next(iter(run.options.wide), 0)
    ratios = ratios_of(results, wide)
    print_loads(run.console, results)
    print_cpu(run.console, results, wide)
    print_memory(run.console, resident)
    print_machine(run.console, results)
    print_ratios(run.console, ratios)
    lean = await run.lean_chain(contenders)
    variant = run.servers.rivals.variant
    return {
        **figures_of(results, ratios, resident),
        **lean,
        "largest_difference": difference,
        "bls_variant": variant and asdict(variant),
        "bls_rates": {variant.name: rate for variant, rate in tuned.items()},
        "workers": run.options.workers,
        "generators": run.options.generators,
    }


def main() -> None:
    """Parses the command line and runs."""
    uvloop.run(run(parse_options(), Console(width=TABLE_WIDTH)))


if __name__ == "__main__":
    main()
