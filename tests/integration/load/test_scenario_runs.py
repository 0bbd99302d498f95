"""Scenarios as users run them: against a mesh that runs, and with one of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.running_mesh import RunningMesh
from tests.support.waiting import is_gone, wait_for

ROOT = Path(__file__).parents[3]

STEADY = '''
description = "As usual, against a mesh that runs."

[[loads]]
name = "predictions"
pipeline = "echo"
data = """
{"pipeline": "echo",
 "fields": {"x0": {"doubleValue": 2}, "account": {"stringValue": "account-1"}}}
"""
rps = 40
duration = "2s"
timeout = "5s"
slo = ["errors==0", "p99<=5s"]
'''

# Slack, as the machine of the tests does other things as well: what is judged are counts.
EVENTFUL = """
description = "A replica killed, a slow hop, submissions and events: all at once."

[mesh]
inference-backend = "onnxruntime"
replicas = { ingest = 2 }
submissions = true
warm-up = "500ms"

[[loads]]
name = "predictions"
pipeline = "flight-delay"
rps = 25
duration = "5s"
timeout = "5s"
judged = false

[[loads]]
name = "submissions"
kind = "submit"
pipeline = "flight-delay"
rps = 20
duration = "4s"
timeout = "10s"
judged = false
slo = ["errors==0"]

[[loads]]
name = "events"
kind = "events"
rps = 10
batch = 5
duration = "3s"
timeout = "10s"
slo = ["errors==0"]

[[events]]
at = "1s"
what = "kill"
process = "ingest-2"
lasting = "500ms"

[[events]]
at = "0s"
what = "slow"
hop = "features"
delay = "150ms"
lasting = "5s"

[verdict]
exactly-once = true
slowest-hop = "features"
"""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tailrace.loadtest", "scenario", *map(str, arguments)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )


def findings(outcome: dict[str, Any], about: str) -> dict[str, Any]:
    return {each["text"]: each for each in outcome["findings"] if each["about"] == about}


def test_a_running_mesh_is_held_against_the_files_objectives(
    mesh: RunningMesh, tmp_path: Path
) -> None:
    file, outcome_file = tmp_path / "steady.toml", tmp_path / "outcome.json"
    file.write_text(STEADY)
    (tmp_path / "pages").mkdir()
    done = run(
        *(file, "--target", mesh.target, "--pipelines", mesh.files / "pipelines"),
        *("--json", outcome_file, "--html", tmp_path / "pages"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(outcome_file.read_text())
    load = outcome["loads"]["predictions"]
    assert load["statuses"] == {"OK": load["calls"]}
    assert 76 <= load["calls"] <= 80
    assert load["qualities"] == {"LIVE": load["calls"]}
    # The pipeline promises nothing, which is said.
    assert any("echo has no slo" in text for text in findings(outcome, "predictions"))
    assert "PASSED" in done.stdout
    assert "<html" in (tmp_path / "pages" / "predictions.html").read_text()

    # What is not reached ends with another status. A load that is over before anybody is told how
    # it goes is a begin all the same.
    later = STEADY.replace('duration = "2s"', 'start = "1s"\nduration = "2s"')
    short = STEADY.partition("[[loads]]")[2].replace("predictions", "short")
    short = short.replace('rps = 40\nduration = "2s"', "concurrency = 1\ntotal = 1")
    file.write_text(f"{later.replace('p99<=5s', 'rps>=4000')}\n[[loads]]{short}")
    done = run(file, "--target", mesh.target, "--seconds-scale", "0.3")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL  predictions  rps>=4000" in done.stdout


@pytest.mark.usefixtures("prepared_flights")
def test_a_mesh_of_its_own_stands_what_happens_to_it(tmp_path: Path) -> None:
    file, outcome_file = tmp_path / "eventful.toml", tmp_path / "outcome.json"
    file.write_text(EVENTFUL)
    done = run(file, "--json", outcome_file)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(outcome_file.read_text())
    what = [each["what"] for each in outcome["happened"]]
    assert what[0] == "features slowed by 150 ms"
    assert [text for text in what if "ingest-2" in text] == [
        "ingest-2 killed",
        "ingest-2 started again",
        "ingest-2 serves",
    ]
    # Each acknowledged submission has arrived at the receiver, and none twice.
    counted = next(
        each["figures"]
        for text, each in findings(outcome, "submissions").items()
        if "acknowledged" in text
    )
    calls = outcome["loads"]["submissions"]["calls"]
    assert counted["acknowledged"] == counted["arrived"] == calls >= 75
    assert counted["missing"] == counted["again"] == 0
    # 10 batches a second of 5 events, each of them news.
    events = findings(outcome, "events")
    assert any("0 duplicates, 0 refused" in text for text in events)
    hops = outcome["loads"]["predictions"]["hops_ns"]
    assert hops["features"]["50"] >= 150_000_000
    assert "PASSED" in done.stdout


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "steady.toml"
    file.write_text(EVENTFUL)
    told = tmp_path / "told.txt"
    with told.open("w") as out:
        scenario = subprocess.Popen(command(file), cwd=ROOT, stdout=out, stderr=out)
    try:
        wait_for(lambda: "done  Starting Redis" in told.read_text(), 60)
        children = psutil.Process(scenario.pid).children(recursive=True)
        assert len(children) >= 3
        scenario.send_signal(signal.SIGINT)
        assert scenario.wait(60) == 130, told.read_text()
    finally:
        scenario.kill()
    wait_for(lambda: all(is_gone(child.pid) for child in children), 10)


def test_what_cannot_be_is_told_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(STEADY.replace('"p99<=5s"', '"p99<=5"'))
    done = run(file)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and "loads[0].slo[1]: found 'p99<=5'" in line
