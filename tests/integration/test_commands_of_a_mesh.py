"""Commands that write, run beside a mesh that is up: it tells them where and by which files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tests.support.command import run_command
from tests.support.event_world import PREFIX, StartEvents, stored_state, write_event_files
from tests.support.mesh_state import write_mesh_state

SHOP_VIEW = """
view: shop
entity: shop
keys: [{name: shop_id, type: int64}]
features: [{name: size, type: int64}]
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with nothing but state files."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def run(folder: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder, without settings."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")
    }
    return run_command(arguments, folder, environment, text)


def test_load_send_and_reset_find_the_mesh_that_is_up(
    tmp_path: Path, elsewhere: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    pipelines = write_event_files(tmp_path / "shop")
    (tmp_path / "shop" / "features" / "shop.yaml").write_text(SHOP_VIEW)
    service = start_events(pipelines, fresh_redis)
    write_mesh_state(
        elsewhere / ".tailrace",
        "trial",
        redis_url=fresh_redis.url,
        pipelines_dir=pipelines,
        prefix=PREFIX,
        ports={"events": int(service.target.rpartition(":")[2])},
    )
    told = f"mesh trial: writes to its Redis at {fresh_redis.url[7:].partition('?')[0]}, by "

    (elsewhere / "shops.csv").write_text("shop_id,size\n1,5\n2,7\n")
    loaded = run(elsewhere, "features", "load", "shops.csv", "--view", "shop", "--json")
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout)["rows"] == 2
    assert told in loaded.stderr

    event = {"id": "1", "event_time": "2024-01-01T00:00:00Z", "city": "x", "driver": 1}
    send = ("events", "send", "ride", "--file", "-", "--json")
    sent = run(elsewhere, *send, text=json.dumps(event))
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout)["accepted"] == 1
    events = tmp_path / "shop" / "events"
    at = f"sends to its event service at {service.target}, by the types of {events}"
    assert sent.stderr.splitlines()[0] == f"mesh trial: {at}"
    assert any("city-rides:1:" in name for name in stored_state(fresh_redis))

    reset = run(elsewhere, "features", "reset", "city-rides", "--yes", "--name", "trial")
    assert reset.returncode == 0, reset.stderr
    assert "city-rides: empty in generation 2" in reset.stdout
    assert told in reset.stderr
    assert not any("city-rides:1:" in name for name in stored_state(fresh_redis))


def test_without_a_mesh_events_need_an_address(elsewhere: Path) -> None:
    write_event_files(elsewhere)
    sent = run(elsewhere, "events", "replay", "ride", "--file", "-")
    assert sent.returncode == 1
    assert "no mesh is up" in sent.stderr and "--target HOST:PORT" in sent.stderr
