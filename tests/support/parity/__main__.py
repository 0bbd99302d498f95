"""Proves for a whole year of flights that serving and training give the same values.

Every departure and arrival is sent, when it became known, to the event service's own code over a
real Redis, and every flight's features are looked up at its scheduled departure. The same features
are computed from the same events by `tailrace features history`'s engine. Ends with status 1 if
any value differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.history.engine import EngineOptions
from tests.support.parity.flights import compared, flight_world, served, trained, utc

_TELL_EVERY_S = 10.0


def main() -> int:
    """Runs the proof and prints what it found; returns the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--days", type=int, default=0, help="days from 2013-01-01; 0 is the year")
    options.add_argument("--json", type=Path, help="file to write the figures to")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        first = utc(2013, 1, 1) if given.days else None
        world = flight_world(Path(folder) / "files", first, given.days)
        offline = trained(world, EngineOptions())
        began = time.monotonic()
        server = LocalRedis(log_path=Path(folder) / "redis.log")
        try:
            server.start()
            online = uvloop.run(served(world, server.url, "parity", _Teller()))
        finally:
            server.stop()
        replay_s = time.monotonic() - began
        found = compared(world, online, offline)
    figures = {
        "events": sum(table.num_rows for table in world.events.values()),
        "accepted": online.accepted,
        "duplicates": online.duplicates,
        "refused": online.refused,
        "instants": world.instants.num_rows,
        "values_compared": found.values,
        "values_not_bit_for_bit_the_same": found.inexact,
        "mismatches": found.different,
        "history_s": round(offline.report.seconds, 1),
        "replay_s": round(replay_s, 1),
    }
    print("\n".join(f"{name:<32} {figure:>12,}" for name, figure in figures.items()))
    for mismatch in found.mismatches:
        print(f"  {mismatch}", file=sys.stderr)
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if found.different or not found.values else 0


class _Teller:
    """Tells now and then how far the replay is."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._last >= _TELL_EVERY_S:
            self._last = time.monotonic()
            print(f"replayed {done / total:.0%}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
