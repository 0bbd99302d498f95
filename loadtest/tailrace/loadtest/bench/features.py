"""`make bench-features`: lookups beside Feast and plain reads, and events beside lookups.

Loads the same entities into our store and into Feast's on one Redis, compares every answer with
what was loaded, and sends events to a windowed view of a second Redis. Prints tables and writes
`.bench/features.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.features_data import write_files
from tailrace.loadtest.bench.features_ratios import ratios_of
from tailrace.loadtest.bench.features_report import figures_of, print_report
from tailrace.loadtest.bench.features_run import FeatureRun
from tailrace.loadtest.bench.features_servers import FeatureServers

STATE_DIR = Path(".tailrace").absolute()
# A terminal's usual width would cut the figures.
TABLE_WIDTH = 160


def run(options: argparse.Namespace, console: Console) -> None:
    """Starts everything, measures, reports, stops everything."""
    steps = Steps(console)
    folder = MeshFolder(STATE_DIR, "bench-features")
    with folder.claimed():
        pipelines = write_files(folder.path)
        servers = FeatureServers(folder.path, pipelines, options.feast_python)
        try:
            this = FeatureRun(options, servers, folder.path, pipelines, steps)
            this.prepare()
            this.measure()
            ratios = ratios_of(this.figures)
            print_report(console, this, ratios)
            figures = figures_of(this, ratios, servers.large.version)
        finally:
            servers.stop()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {options.json}")


def parse_options() -> argparse.Namespace:
    """Returns the options; ends the process where they cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tailrace.loadtest.bench.features",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--entities", type=int, default=1_000_000, help="entities to load")
    add("--repeats", type=int, default=12, help="slices of every way to look up, in turn")
    add("--event-repeats", type=int, default=6, help="slices of everything with events, in turn")
    add("--seconds", type=float, default=0.4, help="length of a slice of lookups")
    add("--ingest-seconds", type=float, default=2.0, help="length of a slice of events alone")
    add("--quick", action="store_true", help="50,000 entities, 2 repeats, to see whether it runs")
    add("--feast-python", type=Path, default=Path(".venv-feast/bin/python"), help="with Feast")
    add("--without-feast", action="store_true", help="leave Feast out")
    add("--json", type=Path, default=Path(".bench/features.json"), help="where to write figures")
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(entities=50_000, repeats=2, event_repeats=2)
    options = parser.parse_args()
    if options.without_feast:
        options.feast_python = None
    elif not options.feast_python.is_file():
        parser.error(f"there is no {options.feast_python}; `make feast` makes it")
    return options


def main() -> None:
    """Parses the command line and runs."""
    run(parse_options(), Console(width=TABLE_WIDTH))


if __name__ == "__main__":
    main()
