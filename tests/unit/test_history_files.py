"""What is refused of event files, and files that cannot be used."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest

from tailrace.features.history.errors import HistoryFailed
from tailrace.features.history.training_set import EventFile, ViewAt, history, training_set
from tailrace.runtime.timestamps import timestamp_us
from tests.support.history_tables import RIDE, asked, at, computed, rides, values, windowed

COUNT = windowed({"function": "count", "window": "10m", "type": "int64"})
SUM = windowed({"function": "sum", "of": "fare", "window": "10m"})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": ""}, "no id"),
        ({"id": None}, "no id"),
        ({"id": "é" * 129}, "an id of more than 256 bytes"),
        ({"t": 2.1, "known": 1}, "event_time is too far after known_at"),
        ({"city": None}, "no city"),
        ({"city": "long-name"}, "city is too long"),
        ({"fare": math.nan}, "fare is NaN or infinite"),
        ({"fare": math.inf}, "fare is NaN or infinite"),
        ({"riders": 2**53 + 1}, "riders is beyond 2^53"),
    ],
)
def test_bad_events_are_refused_with_their_reason(row: dict[str, Any], reason: str) -> None:
    made = computed(COUNT, rides({"t": 0}, {"t": 1, **row}), asked(5))
    assert made.report.events["ride"].refused == {reason: 1}
    assert values(made) == [1]


def test_events_known_in_the_future_are_refused() -> None:
    wanted = [ViewAt(COUNT, EventFile(RIDE, rides({"t": 0}, {"t": 5})))]
    made = training_set(wanted, asked(10), now_us=timestamp_us(at(3.9)))
    assert made.report.events["ride"].refused == {"known_at is in the future": 1}
    assert values(made) == [1]


def test_events_are_read_from_parquet_csv_and_duckdb(tmp_path: Path) -> None:
    events = rides({"t": 0, "fare": 1.5}, {"t": 1}, {"t": 2, "fare": 2.0})
    parquet.write_table(events, tmp_path / "events.parquet")
    arrow_csv.write_csv(events, tmp_path / "events.csv")
    with duckdb.connect() as connection:
        connection.register("rides", events)
        relation = connection.sql("SELECT * FROM rides")
        for source in (tmp_path / "events.parquet", tmp_path / "events.csv", relation):
            found = history(SUM, RIDE, source, asked(5))
            assert found["v.f0"].to_pylist() == [3.5]


def test_csv_values_of_the_wrong_type_are_refused_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text(
        "id,event_time,known_at,city,fare,riders\n"
        "a,2024-05-01T12:00:00Z,2024-05-01T14:00:00+02:00,a,1.5,2\n"
        "b,2024-05-01 12:00:00,2024-05-01 12:00:00,a,cheap,2\n"
        "c,noon,2024-05-01 12:00:00,a,1.5,2\n"
        "d,2024-05-01 12:00:00,2024-05-01 12:00:00,a,,1.5\n"
        'e,2024-05-01 12:00:00,2024-05-01 12:00:00,"",4,\n'
    )
    made = training_set([ViewAt(SUM, EventFile(RIDE, file))], asked(5))
    assert made.report.events["ride"].refused == {
        "event_time is not an instant": 1,
        "fare is not of type double": 1,
        "riders is not of type int64": 1,
    }
    assert values(made) == [1.5]


def test_lines_of_json_are_refused_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    when = '"event_time": "2024-05-01T12:00:00Z", "known_at": "2024-05-01T14:00:00+02:00"'
    file.write_text(
        f'{{"id": "a", {when}, "city": "a", "fare": 1.5, "riders": 2, "x/y": {{}}}}\n'
        f'{{"id": "b", {when}, "city": "a", "fare": "1.5"}}\n'
        f'{{"id": "c", {when}, "city": "a", "riders": 2.5}}\n'
        f'{{"id": "d", {when}, "fare": 1}}\n'
        f'{{"id": 5, {when}, "city": "a", "fare": 4, "riders": null}}\n'
        f'{{"id": true, {when}, "city": "a"}}\n'
        f'{{"id": "g", {when}, "city": 7}}\n'
        '{"id": "h", "event_time": 1, "known_at": "noon", "city": "a"}\n'
        '{"id": "i", "event_time": "2024-05-01T12:00:00", "known_at": "2024-05-01"}\n'
        "\n[1]\nnot JSON\n"
    )
    made = training_set([ViewAt(SUM, EventFile(RIDE, file))], asked(5))
    assert made.report.events["ride"].refused == {
        "city is not of type string": 1,
        "event_time is not an instant": 2,
        "fare is not of type double": 1,
        "id is not text": 1,
        "no city": 1,
        "not a JSON object": 2,
        "riders is not of type int64": 1,
    }
    assert values(made) == [5.5]


def test_a_file_without_any_json_object_is_told_of(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    for text in ("", "\n", "not JSON\n"):
        file.write_text(text)
        with pytest.raises(HistoryFailed, match="no line that is a JSON object"):
            history(COUNT, RIDE, file, asked(5))


def test_events_without_known_at_are_known_when_they_happened() -> None:
    events = rides({"t": 0, "known": 9, "fare": 1.0}, {"t": 3, "fare": 2.0})
    made = computed(SUM, events.drop_columns(["known_at"]), asked(2, 5))
    assert made.report.events["ride"].known_when_happened
    assert values(made) == [1.0, 3.0]


def test_columns_of_optional_fields_may_be_absent() -> None:
    events = rides({"t": 0}).drop_columns(["fare", "riders"])
    assert values(computed(SUM, events, asked(5))) == [0.0]


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (rides({"t": 0}).drop_columns(["city"]), "no column 'city'"),
        (rides({"t": 0}).rename_columns({"known_at": "know_at"}), "did you mean 'know_at'"),
        (
            rides({"t": 0}).set_column(4, "fare", pa.array(["1.5"])),
            "column 'fare' is VARCHAR, expected numbers",
        ),
        (rides(), "there are no events"),
    ],
    ids=["absent", "misspelt", "wrong type", "empty"],
)
def test_events_that_cannot_be_used_are_told_of(events: pa.Table, told: str) -> None:
    with pytest.raises(HistoryFailed, match="events of 'ride'") as failure:
        computed(COUNT, events, asked(5))
    assert told in str(failure.value)


@pytest.mark.parametrize(
    ("instants", "told"),
    [
        (asked(), "there are none"),
        (asked(1).drop_columns(["city"]), "no column 'city'"),
        (asked(1).drop_columns(["at"]), "no column 'at'"),
        (asked(1).set_column(0, "city", pa.array([1])), "column 'city' is BIGINT, expected text"),
        (
            asked(1).set_column(1, "at", pa.array([None], pa.timestamp("us"))),
            "1 of 1 values of column 'at' are null or no instants",
        ),
        (asked(1).append_column("v.f0", pa.array([1])), "a column 'v.f0' already"),
    ],
    ids=["empty", "no key", "no instant", "wrong type", "null", "taken"],
)
def test_instants_that_cannot_be_used_are_told_of(instants: pa.Table, told: str) -> None:
    with pytest.raises(HistoryFailed) as failure:
        computed(COUNT, rides({"t": 0}), instants)
    assert told in str(failure.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "events.parquet"
    broken.write_text("no Parquet")
    for file in (broken, tmp_path / "absent.csv", tmp_path):
        with pytest.raises(HistoryFailed, match=str(file)):
            history(COUNT, RIDE, file, asked(5))


def test_a_view_whose_events_do_not_fit_is_refused() -> None:
    view = windowed({"function": "sum", "of": "fair", "window": "10m"})
    with pytest.raises(HistoryFailed, match="view 'v'.*fair"):
        computed(view, rides({"t": 0}), asked(5))
