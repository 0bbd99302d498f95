"""Loading from DuckDB and from views' own sources, by the command as it is run from cron."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import yaml

from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_input import view_input
from tailrace.features.sql_input import QueryLimits, SqlInput
from tailrace.features.state import FeatureState
from tests.support.feature_command import run_features, start_features
from tests.support.feature_world import FeatureWorld, MakeWorld, view
from tests.support.waiting import wait_for

SALES = """
CREATE TABLE sales AS
SELECT 'shop-' || (range % 3) AS shop, range * 0.5 AS amount,
       TIMESTAMP '2013-01-01' + INTERVAL (range) MINUTE AS sold_at
FROM range(30)
"""
PER_SHOP = """
SELECT shop AS id, avg(amount) AS mean_amount, count(*) AS n, sum(CAST(amount AS BIGINT)) AS total,
       max(sold_at) AS at
FROM sales GROUP BY shop -- one row a shop
"""
FEATURES = {"mean_amount": "float64", "n": "int64", "total": "int64"}


def shops(source: dict[str, Any] | None, name: str = "shops") -> dict[str, Any]:
    return view(name, FEATURES) | ({} if source is None else {"source": source})


def sales(world: FeatureWorld, statement: str = SALES) -> Path:
    """Returns a database beside the view files, after a statement."""
    file = world.folder / "features" / "sales.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute(statement)
    return file


SQL_SOURCE = {"type": "sql", "query": PER_SHOP, "database": "sales.duckdb"}


async def rows(world: FeatureWorld, *ids: str, name: str = "shops") -> list[tuple[Any, ...]]:
    """Returns (mean_amount, n, total) of each entity, None where it is missing."""
    keys = {column: [None] * len(ids) for column in world.key_columns} | {f"{name}.id": ids}
    _, found = await world.look_up(keys)
    at = [plan.view.view for plan in world.plan.views].index(name)
    columns = [found.columns[f"{name}.{feature}"].tolist() for feature in FEATURES]
    cells = list(zip(*columns, strict=True))
    states = found.views[at].states.tolist()
    return [
        () if state == FeatureState.MISSING else cell
        for state, cell in zip(states, cells, strict=True)
    ]


def expected_rows(database: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        query = f"SELECT mean_amount, n, total FROM ({PER_SHOP}) ORDER BY id"
        return [(float(m), n, int(t)) for m, n, t in connection.execute(query).fetchall()]


async def test_aggregates_of_a_query_are_loaded_from_the_views_own_source(
    make_world: MakeWorld,
) -> None:
    world = make_world(shops(SQL_SOURCE | {"timestamp": "at"}))
    database = sales(world)
    result = run_features(world, "load", "--view", "shops", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["rows"], report["bad_rows"]) == (3, {})
    assert await rows(world, "shop-0", "shop-1", "shop-2") == expected_rows(database)
    listed = json.loads(run_features(world, "list", "--json").stdout)
    assert listed[0]["stored"]["source"] == "sales.duckdb:query"
    again = run_features(world, "load", "--view", "shops")
    assert "shops: unchanged, 3 rows in generation 1" in again.stdout
    forced = run_features(world, "load", "--view", "shops", "--always", "--json")
    assert json.loads(forced.stdout)["generation"] == 2


async def test_an_increment_of_a_query_takes_the_groups_that_changed(
    make_world: MakeWorld,
) -> None:
    world = make_world(shops(SQL_SOURCE | {"timestamp": "at"}))
    sales(world)
    assert run_features(world, "load", "--view", "shops").returncode == 0
    database = sales(
        world,
        "INSERT INTO sales VALUES ('shop-1', 1000, '2013-02-01'), ('shop-9', 1, '2013-02-01')",
    )
    result = run_features(world, "load", "--view", "shops", "--incremental", "--json")
    report = json.loads(result.stdout)
    # Shop 2 is the one at the watermark.
    assert (report["added"], report["updated"], report["outdated"]) == (1, 2, 0)
    found = await rows(world, "shop-0", "shop-1", "shop-2", "shop-9")
    assert found == expected_rows(database)


@pytest.mark.parametrize(
    "expression",
    [
        "t", "t::TIMESTAMPTZ", "t::DATE", "epoch_us(t)", "t::TIMESTAMP_NS", "t::TIMESTAMP_S",
    ],
)  # fmt: skip
async def test_the_watermark_is_applied_to_timestamps_of_every_type(
    make_world: MakeWorld, expression: str
) -> None:
    world = make_world(view("thing", {"a": "float64"}))
    query = (
        f"SELECT id, a, {expression} AS seen FROM (SELECT 'k' || range AS id, 1.0 AS a, "
        "TIMESTAMP '2013-01-01' + INTERVAL (range) DAY AS t FROM range({n}))"
    )
    first = SqlInput("the test", query.replace("{n}", "10"))
    report = await world.load("thing", first, timestamp_column="seen")
    assert report.rows == 10
    second = SqlInput("the test", query.replace("{n}", "15"))
    report = await world.load("thing", second, timestamp_column="seen", incremental=True)
    assert (report.added, report.updated, report.rows) == (5, 1, 15)


async def test_a_table_a_query_and_a_file_can_be_named_on_the_command_line(
    make_world: MakeWorld,
) -> None:
    world = make_world(shops(None))
    database = sales(world, f"{SALES}; CREATE VIEW per_shop AS {PER_SHOP}")
    place = ("--database", str(database))
    table = run_features(world, "load", "--view", "shops", *place, "--table", "per_shop")
    assert table.returncode == 0, table.stderr
    assert await rows(world, "shop-0", "shop-1", "shop-2") == expected_rows(database)
    query = "SELECT 'x' AS id, 1.5 AS mean_amount, 2 AS n, 3::HUGEINT AS total"
    loaded = run_features(world, "load", "--view", "shops", "--sql", query)
    assert loaded.returncode == 0, loaded.stderr
    assert await rows(world, "x", "shop-0") == [(1.5, 2, 3), ()]


async def test_paths_are_relative_to_the_view_file(make_world: MakeWorld) -> None:
    query = "SELECT id, mean_amount, n, total FROM 'data/*.csv'"
    world = make_world(
        shops({"type": "sql", "query": query}),
        shops({"type": "file", "path": "data/one.csv"}, "other"),
    )
    folder = world.folder / "features" / "data"
    folder.mkdir()
    (folder / "one.csv").write_text("id,mean_amount,n,total\nx,1.5,2,3\n")
    (folder / "two.csv").write_text("id,mean_amount,n,total\ny,2.5,3,4\n")
    result = run_features(world, "load", "--all", "--json")
    assert result.returncode == 0, result.stderr
    assert [entry["rows"] for entry in json.loads(result.stdout)] == [1, 2]
    assert await rows(world, "x", "y") == [(1.5, 2, 3), (2.5, 3, 4)]
    assert await rows(world, "x", "y", name="other") == [(1.5, 2, 3), ()]


def test_one_view_that_fails_keeps_no_other_from_being_loaded(make_world: MakeWorld) -> None:
    world = make_world(
        shops({"type": "file", "path": "missing.csv"}, "a"),
        shops({"type": "file", "path": "there.csv"}, "b"),
        shops({"type": "file", "path": "there.csv"}, "c"),
        shops(None, "d"),
    )
    (world.folder / "features" / "there.csv").write_text("id,mean_amount,n,total\nx,1.5,2,3\n")
    with world.redis() as client:
        client.set(world.names.lock("c"), "elsewhere:1:x", px=60_000)
    result = run_features(world, "load", "--all", "--json")
    assert result.returncode == 1
    failed, loaded, locked = json.loads(result.stdout)
    assert "missing.csv cannot be read" in failed["error"]
    assert (loaded["view"], loaded["rows"]) == ("b", 1)
    assert "another load of it is running" in locked["error"]
    (world.folder / "features" / "missing.csv").write_text("id,mean_amount,n,total\nx,1.5,2,3\n")
    assert run_features(world, "load", "--all").returncode == 75


BAD_QUERIES = pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM nothing", "nothing does not exist"),
        ("SELECT * FROM 'nothing.parquet'", "No files found"),
        ("SELECT 1; SELECT 2", "is not one SELECT statement"),
        ("DROP TABLE sales", "is not one SELECT statement"),
        ("", "is not one SELECT statement"),
        ("SELECT 'x' AS id", "no column 'mean_amount'"),
        (
            "SELECT 'x' AS id, [1] AS mean_amount, 1 AS n, 1 AS total",
            "column 'mean_amount' is of type list",
        ),
        (
            "SELECT 'x' AS id, 1.0 AS mean_amount, 'x'::INT AS n, 1 AS total",
            "Could not convert string 'x' to INT32",
        ),
    ],
)


@BAD_QUERIES
async def test_a_query_that_fails_is_told_with_the_view_file_and_duckdbs_words(
    make_world: MakeWorld, query: str, problem: str
) -> None:
    world = make_world(shops(None))
    sales(world)
    view_file = world.folder / "features" / "shops.yaml"
    database = view_file.parent / "sales.duckdb"
    source = SqlInput(str(view_file), query, None, database, view_file.parent)
    with pytest.raises(LoadFailed) as caught:
        await world.load("shops", source)
    assert problem in str(caught.value)
    assert str(view_file) in str(caught.value)


async def test_a_database_that_is_missing_or_is_none_is_told(make_world: MakeWorld) -> None:
    world = make_world(shops(SQL_SOURCE))
    view_file = world.folder / "features" / "shops.yaml"
    source = view_input(world.views["shops"], view_file)
    with pytest.raises(LoadFailed, match="there is no such file"):
        await world.load("shops", source)
    (view_file.parent / "sales.duckdb").write_bytes(b"no database at all" * 1000)
    with pytest.raises(LoadFailed, match="not a valid DuckDB database file"):
        await world.load("shops", source)


async def test_a_query_larger_than_its_memory_is_worked_on_disk_and_leaves_nothing_there(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    world = make_world(view("thing", {"a": "float64", "s": "string"}))
    folder = tmp_path / "spool"
    folder.mkdir()
    query = (
        "SELECT 'k' || (range * 7919 % 500000) AS id, range AS a, "
        "repeat('x', 600) || range AS s FROM range(500000)"
    )
    source = SqlInput("the test", query, limits=QueryLimits("250MB", folder))
    with source.table(["id"], ["a", "s"], None, None) as table:
        found = parquet.read_table(table.path, columns=["id"])
        ids = [str(text) for text in found.column("id").to_pylist()]
    assert len(ids) == 500_000
    assert ids == sorted(ids)
    assert list(folder.iterdir()) == []
    with pytest.raises(LoadFailed, match="Out of Memory|could not allocate|memory"):
        await world.load("thing", SqlInput("x", query, limits=QueryLimits("2MB", folder)))
    assert list(folder.iterdir()) == []


def test_a_disk_too_full_for_a_querys_result_fails_the_load(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    world = make_world(view("thing", {"a": "float64"}))
    query = "SELECT 'k' || range AS id, random() AS a FROM range(500000)"
    code = (
        "import sys; from tailrace.cli.entry import main; "
        f"sys.argv = ['tailrace', 'features', 'load', '--view', 'thing', '--sql', {query!r}, "
        f"'--spool-dir', {str(tmp_path)!r}]; main()"
    )

    def allow_little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=allow_little,
        env={
            **os.environ,
            "TAILRACE_FEATURE_REDIS_URL": world.url,
            "TAILRACE_PIPELINES_DIR": str(world.pipelines_dir),
        },
    )
    assert result.returncode == 1, result.stdout
    assert "File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("tailrace-load-*"))


def test_ctrl_c_ends_a_query_and_gives_the_lock_back(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(view("thing", {"a": "float64"}))
    query = (
        "SELECT 'k' || (x.range % 10) AS id, sum(sqrt(x.range * y.range)) AS a "
        "FROM range(1000000) x, range(1000000) y GROUP BY ALL"
    )

    def is_locked() -> bool:
        with world.redis() as client:
            return bool(client.exists(world.names.lock("thing")))

    log = tmp_path / "log"
    process = start_features(world, log, "load", "--view", "thing", "--sql", query)
    try:
        wait_for(is_locked, 30)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert not is_locked()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--view", "shops", "--all"),
        ("t.csv", "--all"),
        ("t.csv", "--view", "shops", "--sql", "SELECT 1"),
        ("--view", "shops", "--table", "t"),
        ("--view", "shops", "--database", "t.duckdb"),
        ("t.csv", "--view", "shops", "--new-generation"),
        ("t.csv", "--view", "shops", "--incremental", "--overlap", "soon"),
        ("t.csv", "--view", "shops", "--max-bad-rows", "few"),
    ],
)
def test_wrong_usage_ends_with_status_2(make_world: MakeWorld, arguments: tuple[str, ...]) -> None:
    result = run_features(make_world(shops(None)), "load", *arguments)
    assert result.returncode == 2, result.stderr


def test_a_view_without_a_source_or_with_a_broken_file_is_told(make_world: MakeWorld) -> None:
    world = make_world(shops(None))
    result = run_features(world, "load", "--view", "shops")
    assert result.returncode == 1
    assert "view 'shops' has no source" in result.stderr
    file = world.folder / "features" / "shops.yaml"
    content = yaml.safe_load(file.read_text()) | {"source": {"type": "sql"}}
    file.write_text(yaml.safe_dump(content))
    result = run_features(world, "load", "--view", "shops")
    assert result.returncode == 1
    assert "one of query and table" in result.stderr
    assert "no view 'shops'" in result.stderr


def test_rejects_tell_the_beginning_of_values_of_any_type(make_world: MakeWorld) -> None:
    features = {"a": "int64", "at": "timestamp", "label": "float64"}
    world = make_world(view("thing", features))
    beyond = pa.array([2**60, 0, 0], pa.timestamp("ms"))
    columns: dict[str, Any] = {
        "id": ["instant", "huge", "long"],
        "a": [1.0, float("inf"), 1.0],
        "at": beyond,
        "label": pa.array([b"1", b"2", b"x" * 5000]),
    }
    parquet.write_table(pa.table(columns), world.folder / "t.parquet")
    arguments = ("load", "t.parquet", "--view", "thing", "--max-bad-rows", "9")
    result = run_features(world, *arguments, "--rejects", "r.ndjson")
    told = (world.folder / "r.ndjson").read_text().splitlines()
    contents = [json.loads(json.loads(line)["content"]) for line in told]
    found = {content["id"]: content for content in contents}
    assert set(found) == {"instant", "huge", "long"}, result.stderr
    assert found["instant"]["at"].startswith(f"{2**60}")
    assert found["huge"]["a"] == "inf"
    assert found["long"]["label"] == "x" * 200 + "…"


def test_rejects_are_written_with_row_and_reason(make_world: MakeWorld) -> None:
    world = make_world(view("thing", {"a": "float64"}))
    file = world.folder / "t.csv"
    file.write_text("id,a\nx,1\ny,two\n,3\nx,4\ntoo,many,cells\nz,5\n")
    common = ("load", str(file), "--view", "thing", "--max-bad-rows", "9", "--rejects")
    result = run_features(world, *common, "rejects.ndjson")
    assert result.returncode == 0, result.stderr
    lines = (world.folder / "rejects.ndjson").read_text().splitlines()
    found = {entry["row"]: entry for entry in map(json.loads, lines)}
    assert {row: entry["reason"] for row, entry in found.items()} == {
        2: "a: wrong type",
        3: "null key",
        4: "duplicate key",
        None: "wrong number of columns",
    }
    assert found[2] == {
        "view": "thing", "row": 2, "reason": "a: wrong type", "content": '{"id": "y", "a": "two"}',
    }  # fmt: skip
    assert found[4]["content"] == '{"id": "x"}'
    assert found[None]["content"] == "too,many,cells"
    result = run_features(world, *common, "rejects.parquet")
    assert result.returncode == 0, result.stderr
    table = parquet.read_table(world.folder / "rejects.parquet").to_pylist()
    assert sorted(table, key=str) == sorted(found.values(), key=str)
    failed = run_features(world, *common[:4], "--max-bad-rows", "0", "--rejects", "r.ndjson")
    assert failed.returncode == 1
    assert (world.folder / "r.ndjson").read_text(), "a load that fails tells them, too"
    for name, problem in (("r.txt", "unknown kind"), ("none/r.ndjson", "cannot be written")):
        result = run_features(world, *common, name)
        assert result.returncode == 1
        assert problem in result.stderr


async def test_rows_are_not_loaded_into_a_view_made_of_events(make_world: MakeWorld) -> None:
    world = make_world(shops(None))
    source = {"type": "feast", "project": "p", "feature_view": "f"}
    other = world.views["shops"].model_validate(shops(source))
    world.views["shops"] = other
    with pytest.raises(LoadFailed, match="is not loaded: its values are written by Feast"):
        await world.load("shops", SqlInput("the test", "SELECT 1"))
