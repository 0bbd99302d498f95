"""Lines that a whole mesh of real processes writes while all kinds of things happen to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tailrace.cli.local.state import MeshState, read_state
from tailrace.client import Client, PredictionError
from tests.support.elk_interop.elasticsearch_node import ROOT
from tests.support.waiting import wait_for

MESH = "elk-interop"
PIPELINE = "flight-delay"
SECRET = "BOS-SECRET"
_UP_TIMEOUT_S = 400


@dataclass(frozen=True)
class Written:
    """What was written, and what of it is looked for.

    Attributes:
        lines: of all processes, as written.
        prediction_id: of a submission whose result was pushed or stored.
    """

    lines: list[str]
    prediction_id: str


def write_lines(folder: Path) -> Written:
    """Runs the example's mesh with predictions, submissions, deliveries, events and failures."""
    log, summary = folder / "tailrace.log", folder / "summary.json"
    environment = {
        **os.environ,
        "TAILRACE_LOG_FILE": str(log),
        "TAILRACE_LOG_SAMPLE_RATE": "1",
        "TAILRACE_LOG_PAYLOAD_FIELDS": '["*"]',
        "TAILRACE_LOG_REDACTED_FIELDS": '["tailnum", "unknown"]',
    }
    command = [sys.executable, "-m", "tailrace.cli", "up", str(ROOT / "examples" / "flights")]
    state_dir = ROOT / ".tailrace"
    command += [
        "--name",
        MESH,
        "--port",
        "gateway=0",
        "--predictions",
        "200",
        "--json",
        str(summary),
    ]
    with (folder / "up.output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: summary.exists() or process.poll() is not None, _UP_TIMEOUT_S)
        assert process.poll() is None, (folder / "up.output").read_text()[-2_000:]
        state = read_state(state_dir / "meshes" / MESH / "state.json")
        prediction_id = _make_trouble(state)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    return Written(log.read_text("utf-8").splitlines(), prediction_id)


def _make_trouble(state: MeshState) -> str:
    """Asks for what fails in each way, and returns the id of a submission that does not."""
    gateway = next(each for each in state.processes if each.name == "gateway")
    flight: dict[str, Any] = {
        "carrier": "B6",
        "flight_number": 725,
        "tailnum": SECRET,
        "origin": "JFK",
        "dest": "SJU",
        "distance": 1598.0,
        "scheduled_departure": datetime(2013, 12, 5, 4, 59, tzinfo=UTC),
        "scheduled_arrival": datetime(2013, 12, 5, 8, 40, tzinfo=UTC),
    }
    with Client(f"127.0.0.1:{gateway.grpc_port}") as client:
        for bad in (7, "Nowhere at all", None):
            _ask(client, {**flight, "origin": bad})
        _ask(client, {**flight, "unknown": SECRET})
        _ask(client, {**flight, "distance": "far"})
        _ask(client, {**flight, "tailnum": 7})
        _ask(client, flight, pipeline="no-such-pipeline")
        for thousandths in (1, 2, 3, 4, 5, 6):
            for _repeat in range(5):
                _ask(client, flight, timeout=thousandths / 1000)
        features = next(each for each in state.processes if each.name == "features")
        os.kill(features.pid, signal.SIGSTOP)
        try:
            # Answered with defaults once the hop's budget is spent.
            _ask(client, flight)
        finally:
            os.kill(features.pid, signal.SIGCONT)
        _ask(client, flight)
        client.submit(PIPELINE, {**flight, "origin": 7})
        submitted = client.submit(PIPELINE, flight)
        client.get_submission(submitted.id, wait=30)
        return submitted.id


def _ask(
    client: Client, fields: dict[str, Any], pipeline: str = PIPELINE, timeout: float = 5.0
) -> None:
    # What became of it, the log has to tell.
    with contextlib.suppress(PredictionError):
        client.predict(pipeline, fields, timeout=timeout)
