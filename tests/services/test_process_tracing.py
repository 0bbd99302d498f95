"""A process of its own that traces: what it sends, and that no receiver keeps it from its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from tailrace.cli.local.lifeline import tied
from tailrace.runtime.tracing.trace_context import new_trace
from tailrace.v1 import ingest_service_pb2, ingest_service_pb2_grpc
from tests.support.hop_server import hop_batch
from tests.support.otlp_receiver import (
    Mood,
    otlp_receiver,
)
from tests.support.waiting import wait_for
from tests.support.written_pipeline import write_pipeline

# The process has no calls to end; what is left is the bound on sending spans, and an interpreter
# on a busy machine.
END_S = 6.0


@dataclass(slots=True)
class Running:
    """`tailrace serve ingest`."""

    process: subprocess.Popen[bytes]
    port: int
    output: Path
    errors: Path

    def call(self, count: int = 1) -> list[str]:
        """Calls it in so many traces, and returns their ids."""
        traces = [new_trace(sampled=True) for _ in range(count)]
        request = ingest_service_pb2.PreprocessRequest(batch=hop_batch(1))
        request.requests.add().fields["x"].double_value = 1
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
            for trace in traces:
                stub.Preprocess(request, timeout=10, metadata=trace.headers())
        return [trace.trace_id for trace in traces]

    def end(self) -> float:
        """Returns how long it takes to end by SIGTERM, in seconds."""
        started = time.monotonic()
        self.process.terminate()
        assert self.process.wait(30) == 0, self.errors.read_text()
        return time.monotonic() - started

    def words(self) -> list[str]:
        """Returns the messages of its log; every line is one."""
        return [json.loads(line)["message"] for line in self.output.read_text().splitlines()]


@contextmanager
def ingest(folder: Path, **settings: str) -> Iterator[Running]:
    """Runs it with these further settings."""
    ready = folder / "ready.json"
    environment = {
        **os.environ,
        "TAILRACE_PIPELINES_DIR": str(write_pipeline(folder)),
        "TAILRACE_READY_FILE": str(ready),
        "TAILRACE_DRAIN_GRACE_MS": "100",
        **{f"TAILRACE_{name.upper()}": value for name, value in settings.items()},
    }
    output, errors = folder / "output", folder / "errors"
    command = tied([sys.executable, "-m", "tailrace.cli", "serve", "ingest"])
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
    try:
        wait_for(lambda: ready.exists() or process.poll() is not None, timeout_s=30)
        assert ready.exists(), errors.read_text()
        yield Running(process, json.loads(ready.read_text())["port"], output, errors)
    finally:
        process.kill()
        process.wait()


def test_a_process_sends_its_spans_before_it_ends(tmp_path: Path) -> None:
    with otlp_receiver() as receiver:
        with ingest(tmp_path, traces_endpoint=receiver.url, environment="test") as running:
            traces = running.call(3)
            assert running.end() < END_S
            pid = running.process.pid
        found = receiver.spans()
    assert sorted(span.trace_id for span in found) == sorted(traces)
    assert {span.name for span in found} == {"serve ingest"}
    assert {span.service for span in found} == {"tailrace.ingest"}
    assert {span.resource["process.pid"] for span in found} == {pid}
    assert {span.resource["deployment.environment.name"] for span in found} == {"test"}
    assert running.errors.read_text() == ""


def test_a_receiver_that_does_not_answer_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with otlp_receiver() as receiver:
        receiver.mood = Mood.HANGS
        with ingest(tmp_path, traces_endpoint=receiver.url) as running:
            running.call(3)
            receiver.wait_for_requests(1, Mood.HANGS)
            running.call(3)
            assert running.end() < END_S
            assert "spans are not sent: the process ends" in running.words()
            assert running.errors.read_text() == ""


def test_a_file_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "no" / "spans.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "tailrace.cli", "serve", "ingest"],
        env={**os.environ, "TAILRACE_TRACES_FILE": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"tailrace serve ingest: ingest: cannot write spans to {path}")
