"""Replaying: which events, in which order, and the rows between them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tailrace.cli.example import HeldOutSection, ReplaySection
from tailrace.cli.figures import read_figures
from tailrace.cli.held_out import HeldOutRow, read_stretch
from tailrace.cli.known_events import read_events
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.replay import read_replay
from tailrace.cli.trial import batches

NOON = datetime(2013, 12, 3, 12, tzinfo=UTC)
REPLAY = ReplaySection(
    file=Path("rows.parquet"),
    instant="due",
    events={"departure": Path("departure.parquet"), "arrival": Path("arrival.parquet")},
    lead=timedelta(hours=1),
    expected="offline",
)
HELD_OUT = HeldOutSection(
    file=Path("held_out.parquet"),
    pipeline="tiny",
    label="late",
    score="probability",
    replay=REPLAY,
    figures=Path("figures.json"),
)


def minutes(*numbers: int) -> Any:
    """Returns instants, in minutes after noon."""
    instants = [NOON + timedelta(minutes=number) for number in numbers]
    return pa.array(instants, pa.timestamp("us", "UTC"))


def write_events(folder: Path, name: str, **known_at: int) -> None:
    """Writes events by id, each with the minute at which it became known."""
    known = minutes(*known_at.values())
    columns: dict[str, Any] = {"id": list(known_at), "event_time": known, "known_at": known}
    columns["origin"] = ["JFK", *[None] * (len(known) - 1)]
    columns["delay"] = [1.5] * len(known)
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def rows(*due: int) -> list[HeldOutRow]:
    return [HeldOutRow({"due": NOON + timedelta(minutes=each)}, False) for each in due]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_events(tmp_path, "departure", d1=-61, d2=-60, d9=5, d4=7)
    write_events(tmp_path, "arrival", a1=5, a2=10, a3=11)
    return tmp_path


def test_events_of_all_types_come_in_the_order_in_which_they_became_known(folder: Path) -> None:
    replay = read_replay(folder, REPLAY, rows(10, 0), 10)
    assert [row.instant for row in replay.rows] == [NOON, NOON + timedelta(minutes=10)]
    assert [each.event.id for each in replay.events] == ["d2", "a1", "d9", "d4", "a2"]
    assert [each.type for each in replay.events][:3] == ["departure", "arrival", "departure"]
    event = replay.events[0].event
    assert event.known_at == event.event_time == NOON - timedelta(hours=1)


def test_fields_that_are_null_are_left_out(folder: Path) -> None:
    files = {"departure": folder / "departure.parquet"}
    first, second, *_ = read_events(files, NOON - timedelta(days=1), NOON)
    assert first.event.fields == {"origin": "JFK", "delay": 1.5}
    assert second.event.fields == {"delay": 1.5}


def test_fewer_rows_need_fewer_events(folder: Path) -> None:
    replay = read_replay(folder, REPLAY, rows(10, 6, 0), 2)
    assert len(replay.rows) == 2
    assert [each.event.id for each in replay.events] == ["d2", "a1", "d9"]


def test_rows_without_an_instant_are_refused(folder: Path) -> None:
    with pytest.raises(LaunchError, match="a row has no instant 'due'"):
        read_replay(folder, REPLAY, [HeldOutRow({}, False)], 1)
    with pytest.raises(LaunchError, match="no rows to replay"):
        read_replay(folder, REPLAY, [], 1)


def test_files_of_events_that_cannot_be_used_are_told(folder: Path) -> None:
    pq.write_table(pa.table({"id": ["x"], "event_time": minutes(1)}), folder / "arrival.parquet")
    with pytest.raises(LaunchError, match="no column 'known_at', only: id, event_time"):
        read_replay(folder, REPLAY, rows(0), 1)
    (folder / "departure.parquet").unlink()
    with pytest.raises(LaunchError, match=r"no file .* with the events of type 'departure'"):
        read_replay(folder, REPLAY, rows(0), 1)


def test_stretch_keeps_its_order_and_what_is_expected(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    table = pa.table({"due": minutes(0, 1), "late": [True, False], "offline": [0.7, 0.2]})
    pq.write_table(table, file)
    first, second = read_stretch(file, HELD_OUT, {"due"})
    assert (first.fields, first.positive, first.expected) == ({"due": NOON}, True, 0.7)
    assert (second.positive, second.expected) == (False, 0.2)
    pq.write_table(table.drop_columns("offline"), file)
    with pytest.raises(LaunchError, match="no column 'offline' for what is expected"):
        read_stretch(file, HELD_OUT, {"due"})


def test_batches_hold_rows_of_one_instant_and_not_too_many() -> None:
    timed = [HeldOutRow({}, False, instant=NOON + timedelta(minutes=m)) for m in (0, 0, 1, 2, 2)]
    assert [len(batch) for batch in batches(timed)] == [2, 1, 2]
    assert [len(batch) for batch in batches([HeldOutRow({}, False)] * 250)] == [100, 100, 50]
    assert list(batches([])) == []


def test_figures_are_texts_by_name(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    with pytest.raises(LaunchError, match=r"held_out.figures: there is no file"):
        read_figures(tmp_path, HELD_OUT)
    file.write_text('{"AUC": "0.8"}')
    assert read_figures(tmp_path, HELD_OUT) == {"AUC": "0.8"}
    file.write_text('{"AUC": 0.8}')
    with pytest.raises(LaunchError, match="not a JSON object of texts"):
        read_figures(tmp_path, HELD_OUT)
    assert read_figures(tmp_path, HELD_OUT.model_copy(update={"figures": None})) == {}
