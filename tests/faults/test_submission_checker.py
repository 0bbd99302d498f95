"""Everything that submissions pass through is killed, and the checker finds nothing wrong.

The long run is `make faults`. Here it is short, and the checker has to notice what is wrong on
purpose.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.support.submission_world.killer import KillPlan
from tests.support.submission_world.queue_redis import can_end_machines
from tests.support.submission_world.run import RunReport, RunSettings, run
from tests.support.submission_world.temper import CALM, TemperSettings
from tests.support.submission_world.world import ROLES, WorldSettings

MUTANTS = "tests.support.submission_world.mutants"
EVERYSEC_WINDOW_S = 2.0

needs_machine_ends = pytest.mark.skipif(
    not can_end_machines(), reason="what is synced is noted on Linux, by what a C compiler makes"
)


async def run_seeded(run_dir: Path, settings: RunSettings) -> RunReport:
    """Runs it, and says with which seed."""
    print(f"seed {settings.seed}")
    report = await run(settings, run_dir)
    print(json.dumps(report.figures()))
    return report


def new_seed() -> int:
    """Returns another seed each time."""
    return random.SystemRandom().getrandbits(32)


async def test_nothing_acknowledged_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    ends = can_end_machines()
    report = await run_seeded(
        tmp_path,
        RunSettings(
            seed=new_seed(),
            world=WorldSettings(
                dispatchers=2, couriers=2, notes_syncs=ends, temper=TemperSettings(never=0.0)
            ),
            kills=KillPlan(
                kills=dict.fromkeys(ROLES, 1),
                pauses={"dispatcher": 1, "courier": 1},
                machine_ends=0.5 if ends else 0.0,
                most_progress=60,
            ),
        ),
    )
    assert not report.broken
    killed = Counter(fault.role for fault in report.faults if fault.how != "pause")
    assert killed == dict.fromkeys(ROLES, 1)
    assert all(fault.open_calls and fault.undelivered for fault in report.faults)
    assert len(report.history.by_id) > 100


@needs_machine_ends
async def test_everysec_loses_no_more_than_its_window(tmp_path: Path) -> None:
    report = await run_seeded(
        tmp_path,
        RunSettings(
            seed=new_seed(),
            world=WorldSettings(durability="everysec", notes_syncs=True, temper=CALM),
            kills=KillPlan(kills={"redis": 2}, machine_ends=1.0, most_progress=200),
            loss_window_s=EVERYSEC_WINDOW_S,
        ),
    )
    assert not report.broken
    # Else nothing was at stake.
    assert report.figures()["lost"] > 0


async def test_a_gateway_that_acknowledges_before_the_write_is_noticed(tmp_path: Path) -> None:
    report = await run_seeded(
        tmp_path,
        RunSettings(
            seed=new_seed(),
            # What is lost is never delivered, and nobody is to wait for it.
            most_undelivered=10_000,
            world=WorldSettings(temper=CALM, modules={"gateway": f"{MUTANTS}.acknowledges_first"}),
            kills=KillPlan(kills={"gateway": 2, "redis": 1}, most_progress=60),
        ),
    )
    assert "lost" in {broken.rule for broken in report.broken}


async def test_a_queue_that_ignores_fences_is_noticed(tmp_path: Path) -> None:
    report = await run_seeded(
        tmp_path,
        RunSettings(
            seed=new_seed(),
            world=WorldSettings(
                temper=CALM,
                dispatchers=2,
                modules={"dispatcher": f"{MUTANTS}.ignores_fences"},
            ),
            kills=KillPlan(kills={}, pauses={"dispatcher": 2}, most_progress=60),
        ),
    )
    rules = {broken.rule for broken in report.broken}
    assert rules & {"one body", "published", "final", "pushed as polled"}
