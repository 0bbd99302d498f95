"""A whole mesh with submissions and events, and a Prometheus that scrapes all of it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.cli.local.ports import LOOPBACK
from tailrace.client import CallbackSpec, Client, EventClient, PredictionError
from tailrace.client.values import Fields
from tailrace.features.events.stream_producer import StreamProducer
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.placement import HOPS
from tests.support.event_world import ride, write_event_files
from tests.support.mesh_fixtures import load_accounts
from tests.support.prometheus_process import PrometheusProcess
from tests.support.running_mesh import FILES_DIR, RunningMesh
from tests.support.slow_redis import SlowRedis, running_slow_redis

INTERVAL = "500ms"
_PARTITIONS = 1
_QUEUE_ROWS = 64
# One whose receiver takes what comes, and one whose receiver does not.
_CALLBACKS = ("well", "dead")


class ObservedMesh:
    """Everything that dashboards show, under some load.

    Attributes:
        mesh: the processes.
        prometheus: scrapes them, and Triton, with the labels that the configurations give.
        feature_redis: what the feature service reads; can be made slow.
        span_files: where processes tell their spans.
    """

    def __init__(
        self,
        mesh: RunningMesh,
        prometheus: PrometheusProcess,
        feature_redis: SlowRedis,
        span_files: Sequence[Path],
    ) -> None:
        """Keeps the parts."""
        self.span_files = span_files
        self.mesh = mesh
        self.prometheus = prometheus
        self.feature_redis = feature_redis
        self._sent = 0

    def predict(self, accounts: Iterable[str]) -> None:
        """Asks for predictions, one after the other."""
        with Client(self.mesh.target) as client:
            for account in accounts:
                client.predict("echo", {"x0": 1.0, "account": account}, timeout=5)

    def drive(self) -> None:
        """Sends something of everything: what goes well, and what goes wrong."""
        with Client(self.mesh.target) as client:
            rows: list[Fields] = [
                {"x0": float(number), "account": "account-1"} for number in range(32)
            ]
            client.predict_batch("echo", rows, timeout=5)
            # Degraded, bad, late, and more than may wait.
            client.predict("echo", {"x0": 1.0, "account": "nobody"}, timeout=5)
            client.predict_batch("echo", [{"x1": 1.0}, {"x0": 1.0, "x1": 1e6}], timeout=5)
            client.predict_batch("nan", [{"mode": 1.0}], timeout=5)
            late: Fields = {"x0": 1.0, "account": "account-1", "delay_ms": 400.0}
            with contextlib.suppress(PredictionError):
                client.predict("echo", late, timeout=0.1)
            crowd: Fields = {"x0": 1.0, "account": "account-1", "delay_ms": 5.0}
            client.predict_batch("echo", [crowd] * (4 * _QUEUE_ROWS), timeout=10)
            for callback in _CALLBACKS:
                for number in range(3):
                    submitted = client.submit("echo", rows[number], callback=callback)
                    client.get_submission(submitted.id, wait=10)
        self._send_events()

    def wait_for_scrapes(self, count: int = 2) -> None:
        """Returns once every target was scraped as often, from now on."""
        since = self._scrapes()

        def scraped() -> bool:
            return all(
                now - since.get(target, 0) >= count for target, now in self._scrapes().items()
            )

        self.prometheus.process.wait_until(scraped, timeout_s=30, waiting_for="further scrapes")

    def _scrapes(self) -> dict[str, float]:
        return self.prometheus.values("count_over_time(up[1h])", "instance")

    def _send_events(self) -> None:
        first, self._sent = self._sent, self._sent + 40
        rides = [ride(number) for number in range(first, self._sent)]
        with EventClient(self.mesh.processes["events"].target) as client:
            client.send("ride", rides)
            # Again, which makes them duplicates; and some that are too late.
            client.send("ride", rides[:10])
            client.send("ride", [ride(10_000 + first, after_s=1e6)])
            client.send("ride", [ride(20_000 + first, after_s=-1e6)])
        asyncio.run(self._send_through_streams(first))

    async def _send_through_streams(self, first: int) -> None:
        link = RedisLink(self.mesh.redis.url, client_name="test")
        try:
            producer = StreamProducer(link, "tailrace", _PARTITIONS)
            rides = [ride(30_000 + first + number, after_s=number) for number in range(10)]
            await producer.send("ride", [("c1", each.to_message()) for each in rides])
        finally:
            await link.close()


@contextlib.contextmanager
def observed_mesh(folder: Path, triton: LocalTriton) -> Iterator[ObservedMesh]:
    """Runs one.

    Args:
        folder: for logs and files.
        triton: running, with the test models.
    """
    with contextlib.ExitStack() as stack:
        features = stack.enter_context(_redis(folder / "features-redis"))
        queue = stack.enter_context(_redis(folder / "queue-redis", append_only=True))
        slow = stack.enter_context(running_slow_redis(features))
        port = stack.enter_context(_receiver())
        files = folder / "own-files"
        shutil.copytree(FILES_DIR, files)
        write_event_files(files)
        settings = _settings(folder, queue.url, slow.url)
        mesh = RunningMesh(features, triton, folder, settings=settings, files=files)
        stack.callback(mesh.kill)
        load_accounts(features, files / "features", folder)
        # Beside the hops; the dispatcher has to know where those are.
        for name in ("courier", "events"):
            mesh.add(name, name)
        mesh.start()
        targets = {f"TAILRACE_{hop.upper()}_TARGET": mesh.processes[hop].target for hop in HOPS}
        settings["dispatcher"] |= targets
        mesh.add("dispatcher", "dispatcher").wait_ready()
        mesh.wait_serving("dispatcher")
        with Client(mesh.target) as client:
            for name in _CALLBACKS:
                client.callbacks.register(
                    name, CallbackSpec(target=f"http://127.0.0.1:{port}/{name}")
                )
        prometheus = PrometheusProcess(
            folder / "prometheus", targets=_scrape_configs(mesh, triton), interval=INTERVAL
        )
        stack.callback(prometheus.stop)
        prometheus.start()
        prometheus.wait_for_targets()
        yield ObservedMesh(mesh, prometheus, slow, list(folder.glob("*.spans")))


def _settings(folder: Path, queue_url: str, feature_url: str) -> dict[str, dict[str, str]]:
    common = {
        "TAILRACE_QUEUE_REDIS_URL": queue_url,
        "TAILRACE_QUEUE_PARTITIONS": "1",
        "TAILRACE_CALLBACK_ALLOWED_NETWORKS": '["127.0.0.0/8"]',
        "TAILRACE_CALLBACK_ALLOW_PLAINTEXT": "true",
        "TAILRACE_TRACES_SAMPLE_RATE": "1",
    }
    own = {
        "gateway": {
            "TAILRACE_CONVOY_MAX_ROWS": "8",
            "TAILRACE_MAX_QUEUED_ROWS": str(_QUEUE_ROWS),
        },
        "features": {
            "TAILRACE_FEATURE_REDIS_URL": feature_url,
            "TAILRACE_FEATURE_CACHE_BYTES": "1000000",
        },
        "courier": {"TAILRACE_COURIER_RETRY_S": "[0.05]"},
        "events": {
            "TAILRACE_EVENTS_DURABILITY": "none",
            "TAILRACE_EVENTS_PARTITIONS": str(_PARTITIONS),
        },
    }
    services = (*HOPS, "gateway", "dispatcher", "courier", "events")
    traces = {name: {"TAILRACE_TRACES_FILE": str(folder / f"{name}.spans")} for name in services}
    return {"all": common} | {name: traces[name] | own.get(name, {}) for name in services}


def _scrape_configs(mesh: RunningMesh, triton: LocalTriton) -> list[dict[str, Any]]:
    """Returns jobs and labels as compose/prometheus/prometheus.yml gives them."""
    ours = [
        {
            "targets": [f"{LOOPBACK}:{process.metrics_port}"],
            "labels": {"service": process.service},
        }
        for process in mesh.processes.values()
    ]
    model_server = urlsplit(triton.metrics_url).netloc
    return [
        {"job_name": "tailrace", "static_configs": ours},
        {
            "job_name": "triton",
            "static_configs": [{"targets": [model_server], "labels": {"service": "triton"}}],
        },
    ]


@contextlib.contextmanager
def _redis(folder: Path, *, append_only: bool = False) -> Iterator[LocalRedis]:
    folder.mkdir()
    server = LocalRedis(
        log_path=folder / "redis.log",
        data_dir=folder if append_only else None,
        append_only=append_only,
        append_fsync="always",
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


class _Endpoint(BaseHTTPRequestHandler):
    """Takes what is pushed to `/well`, and nothing that is pushed elsewhere."""

    def do_POST(self) -> None:
        """Answers a push."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204 if self.path == "/well" else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def _receiver() -> Iterator[int]:
    with ThreadingHTTPServer((LOOPBACK, 0), _Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
