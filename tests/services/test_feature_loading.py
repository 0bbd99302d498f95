"""Loading files: Parquet and CSV, bad rows by reason, limits, and the command line."""

from __future__ import annotations

import datetime
import functools
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from tailrace.features.codec import MAX_ROW_BYTES
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_options import BadRowLimit
from tailrace.features.state import FeatureState
from tests.support.feature_command import run_features
from tests.support.feature_world import FeatureWorld, MakeWorld, view

ANY_NUMBER = BadRowLimit(share=1.0)
FRESH, MISSING = FeatureState.FRESH, FeatureState.MISSING
HOUR_US = 3_600_000_000


def thing(**parts: Any) -> dict[str, Any]:
    features = {"year": "int64", "weight": "float32", "old": "bool", "name": "string"}
    return view("thing", features, **parts)


async def values(world: FeatureWorld, *ids: str) -> list[tuple[Any, ...]]:
    """Returns (state, year, weight, old, name) of each entity."""
    batch, found = await world.look_up({"thing.id": ids})
    assert not batch.rows.failures
    columns = [
        found.columns[f"thing.{name}"].tolist() for name in ("year", "weight", "old", "name")
    ]
    return list(zip(found.views[0].states.tolist(), *columns, strict=True))


async def test_parquet_with_bad_rows_loads_the_good_ones_and_counts_the_others(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing())
    table = {
        "id": ["a", None, "b", "c", "d", "a", "e"],
        "year": [1.0, 2.0, 2.5, 4.0, 1e30, 6.0, None],
        "weight": pa.array([0.5, 1.0, 1.0, 1e300, 1.0, 9.0, 7.0]),
        "old": [1, 0, 1, 0, 1, 0, 1],
        "name": pa.array(["x", "y", "z", "w", "v", "u", "t"]).dictionary_encode(),
        "ignored": [0] * 7,
    }
    report = await world.load("thing", table, max_bad_rows=ANY_NUMBER)
    assert report.rows == 2
    assert report.bad_rows == {
        "null key": 1,
        "year: wrong type": 1,
        "year: out of range": 1,
        "weight: out of range": 1,
        "duplicate key": 1,
    }
    found = await values(world, "a", "b", "c", "d", "e")
    assert found[0] == (FRESH, 1, 0.5, True, "x")
    assert [row[0] for row in found] == [FRESH, MISSING, MISSING, MISSING, FRESH]
    assert found[4] == (FRESH, 0, 7.0, True, "t")


async def test_csv_with_bad_rows_loads_the_good_ones_and_counts_the_others(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing())
    file = world.folder / "things.csv"
    file.write_bytes(
        b"name,id,year,weight,old,ignored\n"
        b"first,a,1,0.5,true,\n"
        b"no key,,2,1,true,\n"
        b'"with, a comma and\na line",b,3,,0,\n'
        b"bad year,c,MMXX,1,true,\n"
        b"large year,d,99999999999999999999,1,true,\n"
        b"too few,e\n"
        b"too,many,f,1,1,true,,,\n"
        b"bad bytes,\xff\xfe,1,1,true,\n"
        b"bad flag,g,1,1,maybe,\n"
        b"again,a,9,9,false,\n"
        b",h,1,1,1,\n"
        b'"",i,1,1,1,\n'
    )
    report = await world.load("thing", file, max_bad_rows=ANY_NUMBER)
    assert report.rows == 4
    assert report.bad_rows == {
        "null key": 1,
        "id: wrong type": 1,
        "year: wrong type": 1,
        "year: out of range": 1,
        "old: wrong type": 1,
        "wrong number of columns": 2,
        "duplicate key": 1,
    }
    assert await values(world, "a", "b", "h", "i") == [
        (FRESH, 1, 0.5, True, "first"),
        (FRESH, 3, 0.0, False, "with, a comma and\na line"),
        (FRESH, 1, 1.0, True, ""),
        (FRESH, 1, 1.0, True, ""),
    ]


async def test_other_texts_can_mean_null_in_csv(make_world: MakeWorld) -> None:
    world = make_world(thing(defaults={"year": 1900, "name": "nameless"}))
    file = world.folder / "things.csv"
    file.write_text("id,year,weight,old,name\na,NA,1,true,NA\nb,2000,1,true,\n")
    await world.load("thing", file, null_texts=("NA",))
    assert await values(world, "a", "b") == [
        (FRESH, 1900, 1.0, True, "nameless"),
        (FRESH, 2000, 1.0, True, ""),
    ]


async def test_parquet_and_csv_of_the_same_rows_give_the_same_stored_rows(
    make_world: MakeWorld,
) -> None:
    keys = [{"name": "id"}, {"name": "hour", "type": "timestamp", "granularity": "1h"}]
    features = {"n": "int64", "x": "float64", "y": "float32", "ok": "bool", "s": "string"}
    world = make_world(view("thing", features, keys=keys))
    hours = [datetime.datetime(2013, 1, 1, hour, tzinfo=datetime.UTC) for hour in range(3)]
    table = {
        "id": ["a|b", "\\", "ü"],
        "hour": pa.array(hours, pa.timestamp("ns", "UTC")),
        "n": [1, None, -3],
        "x": [0.1, 1e-300, None],
        "y": pa.array([0.1, None, 3.25], pa.float32()),
        "ok": [True, False, None],
        "s": ["", "x,y", None],
    }
    at = 1_357_000_000_000_000
    parquet = world.parquet(table | {"at": [at] * 3})
    csv = world.folder / "rows.csv"
    csv.write_text(
        "id,hour,n,x,y,ok,s,at\n"
        f'a|b,2013-01-01T00:00:00Z,1,0.1,0.1,true,"",{instant(at)}\n'
        f'"\\",2013-01-01 01:00:00,,1e-300,,false,"x,y",{instant(at)}\n'
        f"ü,2013-01-01T03:00:00+01:00,-3,,3.25,,,{instant(at)}\n"
    )
    stored = []
    for generation, file in enumerate((parquet, csv), start=1):
        report = await world.load("thing", file, timestamp_column="at")
        assert (report.rows, report.bad_rows) == (3, {})
        prefix = world.names.generation("thing", generation).encode()
        with world.redis() as client:
            keys_found = client.keys(prefix + b"*")
            stored.append({key[len(prefix) :]: client.get(key) for key in keys_found})
    assert stored[0] == stored[1]
    assert len(stored[0]) == 3


def instant(at_us: int) -> str:
    return datetime.datetime.fromtimestamp(at_us / 1e6, datetime.UTC).isoformat()


async def test_of_rows_with_one_key_the_latest_counts(make_world: MakeWorld) -> None:
    world = make_world(thing())
    rows = 10_000  # two batches, so that the latest may come in another than the first
    ids = ["early", "late", *[f"k{n}" for n in range(rows)], "early", "late", "late"]
    count = len(ids)
    at = [5, 5, *[5] * rows, 9, 1, 5]
    table = {
        "id": ids,
        "year": list(range(count)),
        "weight": [0.0] * count,
        "old": [False] * count,
        "name": [""] * count,
        "at": at,
    }
    report = await world.load("thing", table, timestamp_column="at", max_bad_rows=ANY_NUMBER)
    assert report.bad_rows == {"duplicate key": 3}
    assert report.rows == rows + 2
    early, late = await values(world, "early", "late")
    assert early[1] == rows + 2
    assert late[1] == 1


async def test_a_row_without_a_timestamp_is_bad_where_there_should_be_one(
    make_world: MakeWorld,
) -> None:
    world = make_world(thing())
    table = one_row() | {"at": pa.array([None], pa.timestamp("us"))}
    with pytest.raises(LoadFailed, match="has no rows to load") as caught:
        await world.load("thing", table, timestamp_column="at", max_bad_rows=ANY_NUMBER)
    assert caught.value.bad_rows == {"null timestamp": 1}


def one_row(**other: Any) -> dict[str, Any]:
    return {"id": ["a"], "year": [1], "weight": [1.0], "old": [True], "name": ["x"], **other}


async def test_a_row_too_large_is_bad(make_world: MakeWorld) -> None:
    world = make_world(thing())
    table = one_row(id=["a", "b"], name=["x" * MAX_ROW_BYTES, "x" * 1000], year=[1, 2])
    table |= {"weight": [1.0, 2.0], "old": [True, True]}
    report = await world.load("thing", table, max_bad_rows=ANY_NUMBER)
    assert report.rows == 1
    assert report.bad_rows == {f"row larger than {MAX_ROW_BYTES} bytes": 1}


@pytest.mark.parametrize(
    ("limit", "loads"),
    [("0", False), ("9", False), ("10", True), ("9.9%", False), ("10%", True), ("100%", True)],
)
async def test_more_bad_rows_than_allowed_fail_the_load(
    make_world: MakeWorld, limit: str, loads: bool
) -> None:
    world = make_world(view("v", {"a": "float32"}))
    table = {"id": [None if n % 10 == 0 else f"k{n}" for n in range(100)], "a": [1.0] * 100}
    if loads:
        report = await world.load("v", table, max_bad_rows=BadRowLimit.parse(limit))
        assert (report.rows, report.bad_rows) == (90, {"null key": 10})
        return
    with pytest.raises(LoadFailed, match="10 of 100 rows are bad, and .* are allowed") as caught:
        await world.load("v", table, max_bad_rows=BadRowLimit.parse(limit))
    assert caught.value.bad_rows == {"null key": 10}


@pytest.mark.parametrize("text", ["", "-1", "x", "101%", "-1%", "nan%", "1.5"])
def test_an_unusable_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        BadRowLimit.parse(text)


NOT_A_FILE = pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("t.parquet", b"not parquet", "cannot be read"),
        ("t.csv", b"", "cannot be read"),
        ("t.json", b"{}", "unknown kind of file"),
        ("missing.parquet", None, "cannot be read"),
        ("missing.csv", None, "cannot be read"),
    ],
)


@NOT_A_FILE
async def test_a_file_that_cannot_be_read_fails_the_load(
    make_world: MakeWorld, name: str, content: bytes | None, problem: str
) -> None:
    world = make_world(thing())
    file = world.folder / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LoadFailed, match=problem):
        await world.load("thing", file)


async def test_a_file_that_does_not_fit_names_every_problem(make_world: MakeWorld) -> None:
    world = make_world(thing())
    with pytest.raises(LoadFailed) as caught:
        await world.load("thing", {"id": [1], "yaer": [1], "weight": [1.0], "name": [[1]]})
    text = str(caught.value)
    assert "no column 'year'; did you mean its column 'yaer'?" in text
    assert "column 'id' is of type int64, expected string" in text
    assert "column 'name' is of type list<" in text
    assert "no column 'old'" in text


async def test_an_empty_file_does_not_empty_a_view(make_world: MakeWorld) -> None:
    world = make_world(thing())
    await world.load("thing", one_row())
    file = world.folder / "empty.csv"
    file.write_text("id,year,weight,old,name\n")
    with pytest.raises(LoadFailed, match="has no rows to load"):
        await world.load("thing", file)
    assert (await values(world, "a"))[0][0] == FRESH


async def test_progress_tells_the_rows_done_and_their_total(make_world: MakeWorld) -> None:
    world = make_world(view("v", {"a": "float32"}))
    table = {"id": [f"k{n}" for n in range(20_000)], "a": [1.0] * 20_000}
    told: list[tuple[int, int | None]] = []
    await world.load("v", table, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(8192, 20_000), (16_384, 20_000), (20_000, 20_000)]


# -- the command line -----------------------------------------------------------------------

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(make_world: MakeWorld) -> Run:
    """Runs `tailrace features`, with the view `v` of one float and an empty view `other`."""
    world = make_world(view("v", {"a": "float32"}), view("other", {"a": "float32"}))
    (world.folder / "t.csv").write_text("id,a\nx,1\ny,2\nz,three\n")

    return functools.partial(run_features, world)


def test_the_command_loads_lists_and_skips(run: Run) -> None:
    loaded = run("load", "t.csv", "--view", "v", "--max-bad-rows", "1")
    assert loaded.returncode == 0, loaded.stderr
    assert "v: 2 rows in generation 1" in loaded.stdout
    assert "1 bad rows left out" in loaded.stdout
    assert "a: wrong type" in loaded.stderr
    listed = {entry["name"]: entry["stored"] for entry in json.loads(run("list", "--json").stdout)}
    assert {name: stored["loaded"] for name, stored in listed.items()} == {
        "other": False,
        "v": True,
    }
    assert (listed["v"]["rows"], listed["v"]["source"]) == (2, "t.csv")
    again = run("load", "t.csv", "--view", "v", "--if-changed", "--json")
    assert json.loads(again.stdout)["unchanged"] is True
    table = run("list").stdout
    assert "never loaded" in table
    assert "old" in table


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("t.csv", "--view", "v"), "1 of 3 rows are bad, and 1.00% are allowed"),
        (("t.csv", "--view", "vv"), "no view 'vv'"),
        (("none.csv", "--view", "v"), "none.csv cannot be read"),
        (("t.csv", "--view", "v", "--redis-url", "unix:///none.sock"), "cannot be reached"),
        (
            ("t.csv", "--view", "v", "--redis-url", "redis://user:secret@127.0.0.1:1"),
            "ConnectionRefusedError (Redis at 127.0.0.1:1)",
        ),
        (("t.csv", "--view", "v", "--redis-url", "nothing"), "Redis URL cannot be used"),
        (("t.csv", "--view", "v", "--views-dir", "none"), "no folder none; name that of the views"),
        (("t.csv", "--view", "v", "--timestamp-column", "at"), "no column 'at'"),
    ],
)
def test_the_command_says_what_is_wrong_and_exits_with_1(
    run: Run, arguments: tuple[str, ...], problem: str
) -> None:
    result = run("load", *arguments)
    assert result.returncode == 1
    assert problem in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr
