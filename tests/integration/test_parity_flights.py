"""Ten days of real flights: every windowed feature of every flight, served and trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import uvloop

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features.history.engine import EngineOptions
from tests.support.parity.flights import compared, flight_world, served, trained, utc


# The days in which clocks changed in New York, and at most destinations.
@pytest.mark.parametrize(("month", "day"), [(3, 8), (10, 31)], ids=["spring", "autumn"])
def test_five_days_of_flights_are_served_as_they_are_trained_on(
    month: int, day: int, tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    world = flight_world(tmp_path / "files", utc(2013, month, day), days=5)
    offline = trained(world, EngineOptions(threads=2))
    online = uvloop.run(served(world, fresh_redis.url, "parity"))
    found = compared(world, online, offline)
    assert not found.different, "\n".join(found.mismatches)
    assert found.values > 80_000
    assert online.accepted == sum(table.num_rows for table in world.events.values())
    missing = {name: view.missing for name, view in offline.report.views.items()}
    assert all(count < world.instants.num_rows for count in missing.values()), missing
    assert any(missing.values())
