"""`tailrace events` and `tailrace features reset`, run as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tests.support.command import run_command
from tests.support.event_world import (
    CITY_RIDES,
    DRIVER_RIDES,
    PREFIX,
    RIDE,
    StartEvents,
    ride,
    stored_state,
    write_event_files,
)

ROWS = 300


def run(folder: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "TAILRACE_PIPELINES_DIR": str(folder / "pipelines"),
        "TAILRACE_FEATURE_KEY_PREFIX": PREFIX,
    }
    return run_command(arguments, Path.cwd(), environment, text)


def documents() -> list[dict[str, Any]]:
    """Returns rides in an order in which nobody should send them."""
    rides = [ride(number, after_s=number * 10) for number in range(ROWS)]
    return [
        {
            "id": each.id,
            "event_time": each.event_time,
            "known_at": each.known_at,
            **each.fields,
            "shared": number % 2 == 0,
        }
        for number, each in reversed(list(enumerate(rides)))
    ]


def write(folder: Path, kind: str, rows: Sequence[dict[str, Any]]) -> Path:
    file = folder / f"rides.{kind}"
    if kind == "ndjson":
        file.write_text(
            "".join(json.dumps(row, default=lambda at: at.isoformat()) + "\n" for row in rows)
        )
    else:
        table = pa.Table.from_pylist(list(rows))
        if kind == "csv":
            for name in ("event_time", "known_at"):
                place = table.schema.get_field_index(name)
                texts = pa.array([row[name].isoformat() for row in rows])
                table = table.set_column(place, name, texts)
            arrow_csv.write_csv(table, file)
        else:
            parquet.write_table(table, file)
    return file


@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet"])
def test_send_takes_the_events_of_a_file_in_order(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents, kind: str
) -> None:
    service = start_events(write_event_files(tmp_path), fresh_redis)
    file = write(tmp_path, kind, documents())
    arguments = ("events", "send", "ride", "--file", str(file), "--target", service.target)
    sent = run(tmp_path, *arguments, "--json")
    assert sent.returncode == 0, sent.stderr
    result = json.loads(sent.stdout)
    # In any other order, many would be late.
    assert (result["accepted"], result["duplicates"], result["refused"]) == (ROWS, 0, 0)
    state = stored_state(fresh_redis)
    assert {name.rpartition(":")[2] for name in state if "driver-rides" in name} >= {"0}", "30}"}
    again = run(tmp_path, *arguments)
    assert "0 accepted" in again.stdout
    assert stored_state(fresh_redis) == state


def test_send_tells_what_is_refused_and_goes_on(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    service = start_events(write_event_files(tmp_path), fresh_redis)
    instant = "2024-01-01T00:00:00Z"
    lines = [
        {"id": "1", "event_time": instant, "city": "x", "driver": 1},
        {"id": "2", "event_time": "2024-01-01T00:00:00", "city": "x", "driver": 1},
        {"id": "3", "event_time": instant, "city": "x", "driver": "one"},
        {"event_time": instant, "city": "x", "driver": 1},
        {"id": "5", "event_time": instant, "city": "x", "driver": 1, "ordered_at": instant},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + "not JSON\n"
    arguments = ("events", "send", "ride", "--file", "-", "--target", service.target)
    rejects = tmp_path / "rejects.ndjson"
    sent = run(tmp_path, *arguments, "--json", "--rejects", str(rejects), text=text)
    assert sent.returncode == 1
    result = json.loads(sent.stdout)
    assert (result["accepted"], result["refused"], result["bad_rows"]) == (2, 1, 3)
    kept = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert sorted((each.get("row", 0), each["field"]) for each in kept) == [
        (0, "fields.driver"),
        (2, "event_time"),
        (4, "id"),
        (6, ""),
    ]


def test_unknown_names_are_told_with_the_nearest(tmp_path: Path) -> None:
    write_event_files(tmp_path)
    file = write(tmp_path, "csv", documents())
    target = ("--target", "127.0.0.1:1")
    unknown = run(tmp_path, "events", "send", "rde", "--file", str(file), *target)
    assert (unknown.returncode, "did you mean 'ride'?" in unknown.stderr) == (1, True)
    file.write_text(file.read_text().replace('"city"', '"citi"'))
    column = run(tmp_path, "events", "send", "ride", "--file", str(file), *target)
    assert (column.returncode, "did you mean 'city'?" in column.stderr) == (1, True)
    gone = run(tmp_path, "events", "send", "ride", "--file", str(tmp_path / "no.csv"), *target)
    assert (gone.returncode, "there is no file" in gone.stderr) == (1, True)
    send = ("events", "send", "ride", "--file", str(file), *target)
    folder = run(tmp_path, *send, "--events-dir", "none")
    assert (folder.returncode, "no folder none; name that" in folder.stderr) == (1, True)
    retry = run(tmp_path, *send, "--retry", "3")
    assert (retry.returncode, "--retry: found '3'" in retry.stderr) == (2, True)


def test_send_says_what_is_not_acknowledged(tmp_path: Path) -> None:
    write_event_files(tmp_path)
    file = write(tmp_path, "parquet", documents())
    target = ("--target", "127.0.0.1:1", "--retry", "200ms")
    sent = run(tmp_path, "events", "send", "ride", "--file", str(file), *target)
    assert sent.returncode == 1
    assert "UNAVAILABLE" in sent.stderr
    assert "have no acknowledgement" in sent.stderr


def test_replay_keeps_the_pace_of_known_at(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    service = start_events(write_event_files(tmp_path), fresh_redis)
    file = write(tmp_path, "ndjson", documents())
    replayed = run(
        tmp_path,
        *("events", "replay", "ride", "--file", str(file), "--target", service.target),
        *("--speed", "2990", "--json"),
    )
    result = json.loads(replayed.stdout)
    assert result["accepted"] == ROWS
    # 2,990 s of events.
    assert result["seconds"] >= 1


def test_reset_begins_a_changed_view_anew(
    tmp_path: Path, fresh_redis: LocalRedis, start_events: StartEvents
) -> None:
    changed = {**CITY_RIDES, "source": {**CITY_RIDES["source"], "tile": "2m"}}
    service = start_events(write_event_files(tmp_path), fresh_redis)
    file = write(tmp_path, "parquet", documents())
    arguments = ("events", "send", "ride", "--file", str(file), "--target", service.target)
    assert run(tmp_path, *arguments).returncode == 0
    service.process.stop()
    write_event_files(tmp_path, [RIDE], [changed, DRIVER_RIDES])
    service.process.start()
    refused = run(tmp_path, *arguments[:-1], service.target, "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["refused"] > 0
    told = [line for line in refused.stderr.splitlines() if "SCHEMA_CHANGED" in line]
    assert [line.partition(" × ")[0] for line in told] == [str(ROWS)]
    redis_url = ("--redis-url", fresh_redis.url)
    declined = run(tmp_path, "features", "reset", "city-rides", *redis_url, text="n\n")
    assert declined.returncode == 1
    reset = run(tmp_path, "features", "reset", "city-rides", "--yes", "--json", *redis_url)
    assert reset.returncode == 0, reset.stderr
    told = json.loads(reset.stdout)
    assert (told["view"], told["generation"]) == ("city-rides", 2)
    assert told["keys_removed"] > 0
    counted = run(tmp_path, *arguments[:-1], service.target, "--json")
    assert json.loads(counted.stdout)["accepted"] == ROWS
    assert any("city-rides:2:" in name for name in stored_state(fresh_redis))
