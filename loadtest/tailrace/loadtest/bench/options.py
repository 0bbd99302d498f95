"""The command line of `make bench-mesh`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tailrace.loadtest.bench.bls.repository import VARIANTS
from tailrace.loadtest.bench.mesh_contenders import TITLES


def parse_options() -> argparse.Namespace:
    """Returns the options; ends the process where they cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tailrace.loadtest.bench.mesh",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--example", type=Path, default=Path("examples/flights"), help="the flights example")
    add(
        "--contenders", nargs="+", choices=list(TITLES), default=list(TITLES), help="who takes part"
    )
    add("--concurrency", type=int, nargs="+", default=[1, 32, 128, 256], help="calls in flight")
    add("--wide", type=int, nargs="*", default=[32], help="messages of 32 rows in flight")
    add("--repeats", type=int, default=5, help="slices of every load, in turn")
    add("--seconds", type=float, default=1.8, help="length of a slice")
    add("--ramp", type=float, default=0.25, help="how long a load runs before its slice")
    add("--workers", type=int, default=1, help="processes of each gateway")
    add("--generators", type=int, default=1, help="processes that make the load")
    add("--connections", type=int, default=8, help="most connections to one contender")
    add("--flights-instances", type=int, default=1, help="of the model in the rivals' Triton")
    add("--tuning-repeats", type=int, default=2, help="measurements of each BLS variant")
    variants = {variant.name: variant for variant in VARIANTS}
    add("--bls", choices=list(variants), help="the BLS variant, in place of the best")
    add("--no-open-loop", dest="open_loop", action="store_false", help="leaves out open loops")
    add("--soak", type=int, default=0, help="only watch memory over that many predictions each")
    add("--json", type=Path, help="where to write the figures; by default under .bench")
    options = parser.parse_args()
    options.bls = variants.get(options.bls)
    if options.json is None:
        options.json = Path(".bench/mesh_memory.json" if options.soak else ".bench/mesh.json")
    return options
