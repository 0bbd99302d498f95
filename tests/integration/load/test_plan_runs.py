"""A plan of a mesh that runs: measured, reckoned, and checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.running_mesh import RunningMesh

ROOT = Path(__file__).parents[3]
DATA = '{"pipeline": "echo", "fields": {"x0": {"double_value": 2.0}}}'


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tailrace.loadtest", "plan", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_plan_follows_from_what_is_measured(mesh: RunningMesh, tmp_path: Path) -> None:
    # The p99 is one that is always kept: what is tested is the way, not the machine.
    metrics = ",".join(f"127.0.0.1:{each.metrics_port}" for each in mesh.processes.values())
    file = tmp_path / "plan.json"
    done = run(
        *("--p99", "10s", "--errors", "50", "--rps", "2000", "--target", mesh.target),
        *("--metrics", metrics, "--data", DATA, "--start", "25", "--max-rps", "50"),
        *("--factor", "2", "--step", "1500ms", "--json", file, "--connections", "2"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    plan = json.loads(file.read_text())
    assert set(plan["services"]) == {"ingest", "features", "inference", "postprocess", "gateway"}
    assert 0 < plan["knee_rps"] < 55
    for name, service in plan["services"].items():
        assert service["present"] == 1, name
        assert 0.05e-3 < service["cpu_s_per_request"] < 50e-3, name
        left = plan["utilisation"] - service["idle_cores"]
        wanted = 2000 * service["cpu_s_per_request"] / left
        assert wanted <= service["needed"] < wanted + 1.001, name
    # The generator is told apart from the machine's other work.
    assert all(0 < point["generator"] < 1 for point in plan["measured"])
    checks = {one["name"]: one for one in plan["check"]["figures"]}
    assert set(checks) == {*plan["services"], "all services", "convoys", "utilisation", "p99"}
    assert checks["all services"]["measured"] > 0
    assert "(the p99 was kept" not in done.stdout
    assert "note: the p99 was kept up to --max-rps" in done.stdout
    assert "predicted" in done.stdout and "error" in done.stdout


def test_metrics_that_do_not_answer_are_named(mesh: RunningMesh) -> None:
    done = run(
        *("--p99", "1s", "--rps", "10", "--target", mesh.target, "--data", DATA),
        *("--metrics", "127.0.0.1:1", "--step", "1s"),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: http://127.0.0.1:1/metrics does not answer" in done.stderr
