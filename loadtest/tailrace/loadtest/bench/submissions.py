"""`make bench-submissions`: submissions acknowledged and delivered, beside synchronous calls.

Starts a mesh with its queue on the flights example, a second queue that syncs every write, and a
receiver, and loads them in turn, repeat by repeat. Every result is compared with the synchronous
answer for the same flight, and every acknowledgement with a delivery. Prints tables and writes
`.bench/submissions.json`, or with `--backlog` `.bench/submissions_backlog.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import uvloop
from rich.console import Console

from tailrace.cli.example import load_example
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.preparation import prepare
from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.generators import Generators
from tailrace.loadtest.bench.submission_backlog import drain_backlog
from tailrace.loadtest.bench.submission_report import figures_of, print_report, targets_of
from tailrace.loadtest.bench.submission_run import SubmissionRun
from tailrace.loadtest.bench.submission_servers import SubmissionServers

STATE_DIR = Path(".tailrace").absolute()
# A terminal's usual width would cut the figures.
TABLE_WIDTH = 160


async def run(options: argparse.Namespace, console: Console) -> None:
    """Starts everything, measures, reports, stops everything."""
    steps = Steps(console)
    prepared = await prepare(load_example(options.example), STATE_DIR / "prepared", steps)
    folder = MeshFolder(STATE_DIR, "bench-submissions")
    with folder.claimed():
        servers = SubmissionServers(folder, prepared, STATE_DIR / "cache", steps)
        try:
            await servers.start()
            with Generators(1) as generators:
                this = SubmissionRun(options, servers, generators, folder.path, steps)
                await this.prepare()
                if options.backlog:
                    figures = await drain_backlog(
                        servers, generators, folder.path, steps, console, options.backlog
                    )
                else:
                    await this.measure()
                    targets = targets_of(this)
                    print_report(console, this, targets)
                    figures = figures_of(this, targets)
        finally:
            await servers.stop()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {options.json}")


def parse_options() -> argparse.Namespace:
    """Returns the options; ends the process where they cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tailrace.loadtest.bench.submissions",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--example", type=Path, default=Path("examples/flights"), help="the flights example")
    add("--repeats", type=int, default=4, help="slices of every load, in turn")
    add("--seconds", type=float, default=1.8, help="length of a slice of synchronous calls")
    add("--ramp", type=float, default=0.25, help="how long these run before their slice")
    add("--loads", nargs="+", help="only submissions whose load's name begins with one of these")
    add("--backlog", type=int, default=0, help="only submit so many, then drain them")
    add("--json", type=Path, help="where to write the figures; by default under .bench")
    options = parser.parse_args()
    if options.json is None:
        name = "submissions_backlog" if options.backlog else "submissions"
        options.json = Path(f".bench/{name}.json")
    return options


def main() -> None:
    """Parses the command line and runs."""
    uvloop.run(run(parse_options(), Console(width=TABLE_WIDTH)))


if __name__ == "__main__":
    main()
