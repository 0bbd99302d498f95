"""The long run of the checker: `python -m tests.support.submission_world`.

Two runs: one where nothing may be lost, and one with `appendfsync everysec` where what the ends of
the queue's machine cost is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.submission_world.killer import KillPlan
from tests.support.submission_world.queue_redis import can_end_machines
from tests.support.submission_world.run import RunSettings, run
from tests.support.submission_world.world import ROLES, WorldSettings

EVERYSEC_WINDOW_S = 2.0


def always_settings(seed: int, kills: int) -> RunSettings:
    """Returns a run in which nothing may be lost, however the queue ends."""
    ends = can_end_machines()
    return RunSettings(
        seed=seed,
        world=WorldSettings(durability="always", dispatchers=2, couriers=2, notes_syncs=ends),
        kills=KillPlan(
            kills=dict.fromkeys(ROLES, kills),
            pauses={"dispatcher": kills // 4, "courier": kills // 4},
            machine_ends=0.4 if ends else 0.0,
        ),
    )


def everysec_settings(seed: int, kills: int) -> RunSettings:
    """Returns a run in which every death of the queue is its machine's."""
    return RunSettings(
        seed=seed,
        world=WorldSettings(durability="everysec", notes_syncs=True),
        kills=KillPlan(
            kills={"redis": kills, "gateway": kills // 4, "dispatcher": kills // 4},
            machine_ends=1.0,
            most_progress=1500,
        ),
        loss_window_s=EVERYSEC_WINDOW_S,
    )


def main() -> int:
    """Runs both, writes their figures; returns 1 if a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--kills", type=int, default=20, help="of each kind of process")
    parser.add_argument("--output", type=Path, default=Path(".bench/faults.json"))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    runs = {"always": always_settings(arguments.seed, arguments.kills)}
    if can_end_machines():
        runs["everysec"] = everysec_settings(arguments.seed, arguments.kills)
    else:
        print("no machine's end: that needs Linux and a C compiler", flush=True)
    figures: dict[str, Any] = {"seed": arguments.seed}
    for name, settings in runs.items():
        run_dir = Path(tempfile.mkdtemp(prefix=f"tailrace-faults-{name}-"))
        print(f"{name}: logs in {run_dir}", flush=True)
        began = time.monotonic()
        report = asyncio.run(run(settings, run_dir))
        figures[name] = report.figures() | {"duration_s": round(time.monotonic() - began, 1)}
        print(json.dumps(figures[name], indent=2), flush=True)
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if any(figures[name]["broken"] for name in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
