"""`tailrace features history`, as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import yaml
from typer.testing import CliRunner

from tailrace.cli.feature_options import FeaturesFailed
from tailrace.cli.features import app
from tests.support.history_tables import asked, at, rides

RIDE = {
    "event": "ride",
    "fields": {
        "city": {"type": "string", "max_length": 8},
        "fare": {"type": "double", "required": False},
    },
}
CITY_RIDES = {
    "view": "city_rides",
    "entity": "city",
    "keys": [{"name": "city"}],
    "source": {"type": "events", "event": "ride", "tile": "5m"},
    "features": [
        {"name": "rides", "type": "int64", "aggregate": {"function": "count", "window": "10m"}}
    ],
}
CITY = {
    "view": "city",
    "entity": "city",
    "keys": [{"name": "city"}],
    "source": {"type": "file", "path": "city.parquet", "timestamp": "seen"},
    "features": [{"name": "size", "type": "int64"}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Views, events, rows and instants."""
    for part in ("features", "events"):
        (tmp_path / part).mkdir()
    for content in (CITY_RIDES, CITY, {**CITY, "view": "timeless", "source": None}):
        file = tmp_path / "features" / f"{content['view']}.yaml"
        file.write_text(yaml.safe_dump(content))
    (tmp_path / "events" / "ride.yaml").write_text(yaml.safe_dump(RIDE))
    parquet.write_table(rides({"t": 0}, {"t": 1}, {"t": 2, "id": ""}), tmp_path / "rides.parquet")
    cities = pa.table({"city": ["a"], "size": [7], "seen": [at(3)]})
    parquet.write_table(cities, tmp_path / "features" / "city.parquet")
    instants = asked(0, 5).append_column("town", pa.array(["b", "a"]))
    parquet.write_table(instants, tmp_path / "instants.parquet")
    return tmp_path


def _run(folder: Path, *options: str) -> tuple[int, str, BaseException | None]:
    files = [
        "--views-dir",
        str(folder / "features"),
        "--instants",
        str(folder / "instants.parquet"),
    ]
    result = CliRunner().invoke(
        app, ["history", *files, "--out", str(folder / "out.parquet"), *options]
    )
    return result.exit_code, result.output, result.exception


def test_one_command_makes_a_training_set_of_static_and_windowed_views(folder: Path) -> None:
    views = ["--view", "city_rides", "--view", "town=city_rides", "--view", "city"]
    options = ["--events", f"ride={folder / 'rides.parquet'}", "--key", "town.city=town"]
    status, output, error = _run(folder, *views, *options)
    assert status == 0, error
    assert "ride: 3 events, 1 refused" in output
    assert "no id" in output
    made = parquet.read_table(folder / "out.parquet")
    assert made["city_rides.rides"].to_pylist() == [1, 2]
    assert made["town.rides"].to_pylist() == [0, 2]
    assert made["town.missing"].to_pylist() == [True, False]
    assert made["city.size"].to_pylist() == [0, 7]
    assert made.column_names[:3] == ["city", "at", "town"]


def test_the_report_as_json(folder: Path) -> None:
    options = ["--view", "city_rides", "--events", str(folder / "rides.parquet"), "--json"]
    status, output, _ = _run(folder, *options)
    assert status == 0
    assert json.loads(output)["events"] == {"ride": {"read": 3, "refused": {"no id": 1}}}


def test_events_without_known_at_are_taken_as_known_when_they_happened(folder: Path) -> None:
    file = folder / "rides.ndjson"
    file.write_text(
        '{"id": "a", "event_time": "2024-05-01T12:01:00Z", "city": "a"}\n'
        '{"id": 2, "event_time": "2024-05-01T14:04:00+02:00", "city": "a", "fare": 3}\n'
    )
    status, output, error = _run(folder, "--view", "city_rides", "--events", f"ride={file}")
    assert status == 0, error
    assert "ride: no column known_at; each event is taken to be known when it happened" in output
    assert "ride: 2 events, 0 refused" in output
    made = parquet.read_table(folder / "out.parquet")
    assert made["city_rides.rides"].to_pylist() == [0, 2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--view", "city_ride"], "did you mean 'city_rides'"),
        (["--view", "city_rides"], "--events ride=FILE"),
        (["--view", "city_rides", "--events", "absent.parquet"], "no such file"),
        (["--view", "city", "--events", "rides.parquet"], "of which type"),
        (
            ["--view", "city_rides", "--events", "rdie=rides.parquet"],
            "no event type 'rdie', nor such a file; did you mean 'ride'?",
        ),
        (["--view", "city", "--at", "when"], "(--at COLUMN says which"),
        (["--view", "city", "--key", "city.city=place"], "(--key NAME.city=COLUMN says which"),
        (["--view", "timeless", "--rows", "timeless=x.parquet"], "--timestamp timeless=COLUMN"),
        (["--view", "city", "--key", "city.town=town"], "--key city.town=town"),
        (["--view", "city", "--view", "city"], "is there twice"),
        (["--view", "city", "--rows", "town=x.parquet"], "--rows town=x.parquet"),
        (["--view", "city", "--rows", "city=x.parquet"], "x.parquet"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(
    folder: Path, options: list[str], told: str
) -> None:
    status, _, error = _run(folder, *options)
    assert status == 1
    assert isinstance(error, FeaturesFailed)
    assert told in str(error)
    assert not (folder / "out.parquet").exists()
