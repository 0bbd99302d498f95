"""Sends spans of a real process through a real OpenTelemetry Collector (`make interop-collector`).

The Collector runs the pipeline of `compose/otel/collector.yaml`, with a file in place of Jaeger.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import yaml
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.ports import LOOPBACK
from tailrace.cli.local.process import ChildProcess
from tailrace.v1 import prediction_service_pb2_grpc
from tests.support.dispatch_mesh import DispatchMesh
from tests.support.requests import predict_request

CONFIG = Path(__file__).parents[2] / "compose" / "otel" / "collector.yaml"

_HOPS = ("ingest", "features", "inference", "postprocess")


class RealCollector:
    """A Collector on loopback that writes what it would hand on into a file.

    Attributes:
        ports: `HEALTH`, `GRPC`, `HTTP` and `METRICS`.
        process: the process underneath.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        """Describes it; `start` starts it."""
        self.ports = dict(zip(("HEALTH", "GRPC", "HTTP", "METRICS"), _free_ports(4), strict=True))
        self._file = folder / "handed-on.json"
        in_place = folder / "in-place.yaml"
        in_place.write_text(
            yaml.safe_dump(
                {
                    "exporters": {"file": {"path": str(self._file), "flush_interval": "100ms"}},
                    "service": {"pipelines": {"traces": {"exporters": ["file"]}}},
                }
            )
        )
        here = {
            f"COLLECTOR_{name}_ENDPOINT": f"{LOOPBACK}:{port}" for name, port in self.ports.items()
        }
        here["COLLECTOR_METRICS_HOST"] = LOOPBACK
        here["COLLECTOR_METRICS_PORT"] = str(self.ports["METRICS"])
        self.process = ChildProcess(
            "otelcol",
            [str(program), "--config", str(CONFIG), "--config", str(in_place)],
            log_path=folder / "otelcol.log",
            env={**os.environ, **here},
        )

    def start(self) -> None:
        """Starts it, and returns once it says that it is well."""
        self.process.start()
        self.process.wait_until(
            lambda: b"available" in self._get("HEALTH", "/"),
            timeout_s=30,
            waiting_for="to be healthy",
        )

    def spans(self) -> Iterator[dict[str, Any]]:
        """Returns the spans that it has handed on."""
        for line in self._file.read_text().splitlines() if self._file.exists() else ():
            for resource in json.loads(line)["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    yield from scope["spans"]

    def wait_for_span(self, trace_id: str, name: str) -> None:
        """Returns once it has handed on a span of a trace."""
        self.process.wait_until(
            lambda: any(
                span["traceId"] == trace_id and span["name"] == name for span in self.spans()
            ),
            timeout_s=30,
            waiting_for=f"to hand on the span {name!r} of {trace_id}",
        )

    def metrics(self) -> str:
        """Returns its own metrics."""
        return self._get("METRICS", "/metrics").decode()

    def _get(self, port: str, path: str) -> bytes:
        try:
            with urllib.request.urlopen(
                f"http://{LOOPBACK}:{self.ports[port]}{path}", timeout=5
            ) as answer:
                content: bytes = answer.read()
                return content
        except OSError:
            return b""


def main() -> None:
    """Validates the file, runs the Collector with it, and sends spans in both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collector", type=Path, help="the program")
    program = parser.parse_args().collector.resolve()
    subprocess.run([program, "validate", "--config", CONFIG], check=True, timeout=60)
    print(f"{CONFIG.name} is valid, says {program.name}")
    with tempfile.TemporaryDirectory(prefix="tailrace-collector-") as name:
        folder = Path(name)
        collector = RealCollector(program, folder)
        collector.start()
        try:
            _send_of_a_gateway(collector, folder)
            _send_by_grpc(collector)
            text = collector.metrics()
            assert "otelcol_receiver_accepted_spans" in text, text
            assert "otelcol_exporter_sent_spans" in text, text
            print("the Collector's own metrics count them")
        finally:
            collector.process.stop()


def _send_of_a_gateway(collector: RealCollector, folder: Path) -> None:
    features = LocalRedis(log_path=folder / "features.log")
    queue = LocalRedis(log_path=folder / "queue.log", data_dir=folder, append_only=True)
    mesh: DispatchMesh | None = None
    try:
        features.start()
        queue.start()
        settings = {
            "TAILRACE_TRACES_ENDPOINT": f"http://{LOOPBACK}:{collector.ports['HTTP']}",
            "TAILRACE_TRACES_SAMPLE_RATE": "0",
        }
        mesh = DispatchMesh(folder, features, queue, "local", settings)
        gateway = mesh.start("gateway")
        trace_id, parent_id = secrets.token_hex(16), secrets.token_hex(8)
        with grpc.insecure_channel(gateway.target) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            stub.Predict(
                predict_request("echo", {"x0": 1.0, "account": "account-1"}),
                timeout=30,
                metadata=(("traceparent", f"00-{trace_id}-{parent_id}-01"),),
                wait_for_ready=True,
            )
        collector.wait_for_span(trace_id, "predict")
        for hop in _HOPS:
            collector.wait_for_span(trace_id, f"hop {hop}")
        names = sorted(span["name"] for span in collector.spans() if span["traceId"] == trace_id)
        print(f"a gateway's spans of one request came over OTLP/HTTP: {', '.join(names)}")
    finally:
        if mesh is not None:
            mesh.kill()
        queue.stop()
        features.stop()


def _send_by_grpc(collector: RealCollector) -> None:
    trace_id = secrets.token_bytes(16)
    now = time.time_ns()
    span = trace_pb2.Span(
        trace_id=trace_id,
        span_id=secrets.token_bytes(8),
        name="by gRPC",
        start_time_unix_nano=now,
        end_time_unix_nano=now + 1,
    )
    scope = trace_pb2.ScopeSpans(spans=[span])
    request = trace_service_pb2.ExportTraceServiceRequest(
        resource_spans=[trace_pb2.ResourceSpans(scope_spans=[scope])]
    )
    with grpc.insecure_channel(f"{LOOPBACK}:{collector.ports['GRPC']}") as channel:
        stub: Any = trace_service_pb2_grpc.TraceServiceStub(channel)  # type: ignore[no-untyped-call]
        stub.Export(request, timeout=10)
    collector.wait_for_span(trace_id.hex(), "by gRPC")
    print("a span came over OTLP/gRPC")


def _free_ports(count: int) -> list[int]:
    """Returns ports that were free just now: the Collector cannot tell which it was given."""
    held = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


if __name__ == "__main__":
    main()
