"""`tailrace example` and `tailrace health`, as containers run them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.main import main
from tests.support.running_mesh import RunningMesh

MANIFEST = """
example: tiny
pipelines: pipelines
prepare:
  command: ["{python}", make.py, "{out}"]
  inputs: [make.py]
static_views: {account: account.parquet}
triton: {repository: models, models: [echo_sum]}
"""
HELD_OUT = """
held_out: {file: account.parquet, pipeline: score, label: late, score: score}
"""
MAKE = """
import sys, pathlib, pyarrow as pa, pyarrow.parquet as pq
out = pathlib.Path(sys.argv[1])
out.mkdir()
table = pa.table({"account_id": ["x", "y"], "a": [VALUE, 2.0], "late": [True, False]})
pq.write_table(table, out / "account.parquet")
"""
PIPELINE = """
pipeline: score
version: "1"
request:
  fields: {account_id: {type: string, required: true}, a: {type: double, required: true}}
ingest: {steps: [{step: cast, input: a, output: a32}]}
features: {views: [{view: account, keys: {account_id: request.account_id}}]}
model:
  name: echo_sum
  inputs: [{name: features, dtype: float32, columns: [a32, a32, account.a, account.a]}]
  outputs: [{name: score, dtype: float32, shape: [1]}]
postprocess: {outputs: [{name: score}]}
"""
VIEW = """
view: account
entity: account
keys: [{name: account_id, type: string}]
features: [{name: a, type: float32, default: -1.0}]
"""


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A folder with an example that is prepared in no time."""
    folder = tmp_path / "tiny"
    for name in ("pipelines", "features"):
        (folder / name).mkdir(parents=True)
    (folder / "example.yaml").write_text(MANIFEST + HELD_OUT)
    (folder / "make.py").write_text(MAKE.replace("VALUE", "1.0"))
    (folder / "pipelines" / "score.yaml").write_text(PIPELINE)
    (folder / "features" / "account.yaml").write_text(VIEW)
    return folder


@dataclass(frozen=True)
class Done:
    """What a command has done."""

    status: int
    stdout: str
    stderr: str


class Run(Protocol):
    """Runs a command in this process, with these settings and no others."""

    def __call__(self, *arguments: str | Path, **settings: str) -> Done: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path, **settings: str) -> Done:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("TAILRACE_")]:
                patch.delenv(name)
            for name, value in settings.items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", ["tailrace", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                main()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, *capsys.readouterr())

    return call


def test_current_leads_to_what_the_example_is_now(run: Run, example: Path, tmp_path: Path) -> None:
    into = tmp_path / "prepared"
    assert run("example", "prepare", example, "--into", into).status == 0
    current = into / "current"
    first = current.resolve()
    assert first.parent == into and not current.readlink().is_absolute()
    again = run("example", "prepare", example, "--into", into)
    assert "made by an earlier run" in again.stdout and current.resolve() == first

    (example / "make.py").write_text(MAKE.replace("VALUE", "5.0"))
    assert run("example", "prepare", example, "--into", into).status == 0
    assert current.resolve() != first
    table: pa.Table = pq.read_table(current / "account.parquet")
    assert table["a"].to_pylist() == [5.0, 2.0]
    # Who reads it goes on.
    assert first.is_dir()

    (example / "make.py").write_text("raise SystemExit('no luck')")
    failed = run("example", "prepare", example, "--into", into)
    assert failed.status == 1 and "no luck" in failed.stderr
    assert current.resolve().is_dir()


def test_views_are_loaded_and_rows_become_requests(
    run: Run, example: Path, tmp_path: Path, fresh_redis: LocalRedis
) -> None:
    into = tmp_path / "prepared"
    missing = run("example", "requests", example, "--prepared", into / "current")
    assert missing.status == 1 and "`tailrace example prepare` makes it" in missing.stderr

    assert run("example", "prepare", example, "--into", into).status == 0
    load = ("example", "load", example, "--prepared", into / "current")
    for _ in range(2):
        loaded = run(*load, TAILRACE_FEATURE_REDIS_URL=fresh_redis.url)
        assert loaded.status == 0, loaded.stderr
        assert "loaded 2 rows into account" in loaded.stdout

    requests = run("example", "requests", example, "--prepared", into / "current")
    lines = sorted(requests.stdout.splitlines())
    assert lines == ['{"account_id": "x", "a": 1.0}', '{"account_id": "y", "a": 2.0}']

    (example / "example.yaml").write_text(MANIFEST)
    without = run("example", "requests", example, "--prepared", into / "current")
    assert without.status == 1 and "held_out: there are no rows" in without.stderr


def test_health_is_asked_of_the_process_that_the_settings_describe(
    run: Run, mesh: RunningMesh
) -> None:
    port = mesh.target.rpartition(":")[2]
    as_container = {"TAILRACE_HOST": "0.0.0.0", "TAILRACE_ALLOW_PLAINTEXT": "true"}
    for asked in (
        run("health", TAILRACE_PORT=port, **as_container),
        run("health", TAILRACE_PORT=port),
        run("health", mesh.target),
    ):
        assert (asked.status, asked.stdout) == (0, "SERVING\n"), asked.stderr


def test_health_of_what_does_not_answer_is_a_failure(run: Run, mesh: RunningMesh) -> None:
    # A port that speaks something else.
    metrics = mesh.processes["ingest"].metrics_port
    gone = run("health", f"127.0.0.1:{metrics}")
    assert gone.status == 1 and gone.stdout in ("UNAVAILABLE\n", "DEADLINE_EXCEEDED\n")
    nowhere = run("health")
    assert nowhere.status == 1 and "set TAILRACE_PORT" in nowhere.stderr
