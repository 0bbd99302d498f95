"""The command lines of the compose file, run as they stand there, make a mesh that serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tailrace.client import Client, InputValue, SubmissionState
from tests.support.compose_file import ROOT
from tests.support.compose_world import ComposeWorld

# The checkout's own, so that the example is prepared once and not again for every test.
PREPARED = ROOT / ".tailrace" / "prepared"

# The last flight of the two days that are sent, so that nothing of before is forgotten.
FLIGHT: dict[str, InputValue] = {
    "carrier": "B6",
    "tailnum": "N645JB",
    "origin": "JFK",
    "dest": "SJU",
    "distance": 1598.0,
    "scheduled_departure": datetime(2013, 12, 5, 4, 59, tzinfo=UTC),
    "scheduled_arrival": datetime(2013, 12, 5, 8, 40, tzinfo=UTC),
}

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ComposeWorld]:
    made = ComposeWorld(tmp_path, PREPARED)
    yield made
    made.kill()


def test_the_services_serve_by_their_own_command_lines_and_drain(world: ComposeWorld) -> None:
    order = start_in_order(world)
    assert order[-1] == "load" and {"prepare", "fill", "gateway"} < set(order)

    with Client(f"127.0.0.1:{world.ports['gateway']}", timeout=10.0) as client:
        prediction = client.predict("flight-delay", FLIGHT)
        assert prediction.quality.name == "LIVE"
        submitted = client.submit("flight-delay", FLIGHT)
        stored = client.get_submission(submitted.id, wait=20)
        assert stored.state is SubmissionState.SUCCEEDED
        assert stored.prediction is not None
        assert stored.prediction.values == prediction.values

    lines = (world.socket("x").parent / "requests.ndjson").read_text().splitlines()
    assert len(lines) == 1910 and json.loads(lines[0]).keys() <= FLIGHT.keys() | {"flight_number"}

    endless = [name for name in order if world.services[name].content["restart"] != "no"]
    statuses = {name: world.stop(name) for name in reversed(endless) if name != "load"}
    assert statuses == dict.fromkeys(statuses, 0)
    assert not world.is_healthy("gateway")


def start_in_order(world: ComposeWorld) -> list[str]:
    """Starts what the profiles core and load start, each after what it needs; returns the order."""
    started: list[str] = []
    wanted = [service for service in world.services.values() if service.profiles & {"core", "load"}]
    while len(started) < len(wanted):
        ready = [
            service
            for service in wanted
            if service.name not in started and service.needs.keys() <= set(started)
        ]
        assert ready, f"services wait for each other beside {started}"
        names = [service.name for service in ready if service.content["restart"] != "no"]
        # The load generator is through after one round, where no engine starts it again.
        names = [name for name in names if name != "load"]
        world.launch(names)
        # None of a round needs another: those that end by themselves run while these start.
        once = [service.name for service in ready if service.name not in names]
        for name in once:
            world.run(name)
        world.wait_healthy(names)
        started += [*names, *once]
    return started
