"""A whole mesh with submissions and events, and a Prometheus that scrapes all of it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
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
from tests.support.mesh_fixtures import ACCOUNTS, load_accounts
from tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan, otlp_receiver
from tests.support.prometheus_process import PrometheusProcess
from tests.support.promised_pipeline import write_promised
from tests.support.push_endpoint import PushEndpoint, push_endpoint
from tests.support.running_mesh import FILES_DIR, RunningMesh
from tests.support.slow_redis import SlowRedis, running_slow_redis
from tests.support.trace_tree import SpanFiles
from tests.support.triton_fixtures import CACHE_DIR, MODELS_DIR

INTERVAL = "500ms"
_PARTITIONS = 1
_QUEUE_ROWS = 64
# One whose receiver takes what comes, and one whose receiver does not.
_CALLBACKS = ("well", "dead")
_KNOWN_ACCOUNTS = 1_000


class ObservedMesh:
    """Everything that dashboards show, under some load.

    Attributes:
        mesh: the processes.
        prometheus: scrapes them, and Triton, with the labels that the configurations give.
        feature_redis: what the feature service reads; can be made slow.
        span_files: where processes tell their spans, but for Triton.
        endpoint: where results are pushed to.
        scrape_configs: of the processes and Triton, for another Prometheus.
    """

    def __init__(
        self,
        mesh: RunningMesh,
        prometheus: PrometheusProcess,
        feature_redis: SlowRedis,
        span_files: Sequence[Path],
        triton_spans: OtlpReceiver,
        endpoint: PushEndpoint,
    ) -> None:
        """Keeps the parts."""
        self.span_files = span_files
        self._span_files = SpanFiles(span_files)
        self.mesh = mesh
        self.prometheus = prometheus
        self.feature_redis = feature_redis
        self.endpoint = endpoint
        self.scrape_configs = _scrape_configs(mesh, mesh.triton)
        self._triton_spans = triton_spans
        self._accounts = (f"known-{number}" for number in range(_KNOWN_ACCOUNTS))
        self._sent = 0

    def spans(self) -> list[ReceivedSpan]:
        """Returns what all processes and Triton have told so far."""
        return self._span_files.spans() + self._triton_spans.spans()

    def account(self) -> str:
        """Returns an account that the store has, and that no cache has yet."""
        return next(self._accounts)

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
        self.prometheus.wait_for_scrapes(count)

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
def observed_mesh(folder: Path, running: LocalTriton | None = None) -> Iterator[ObservedMesh]:
    """Runs one.

    Args:
        folder: for logs and files.
        running: a Triton with the test models; by default, one of its own that tells its spans.
    """
    with contextlib.ExitStack() as stack:
        triton_spans = stack.enter_context(otlp_receiver())
        triton = running or _triton(folder, triton_spans)
        if triton is not running:
            stack.callback(triton.kill)
            triton.launch()
        features = stack.enter_context(_redis(folder / "features-redis"))
        queue = stack.enter_context(_redis(folder / "queue-redis", append_only=True))
        slow = stack.enter_context(running_slow_redis(features))
        endpoint = stack.enter_context(push_endpoint())
        files = folder / "own-files"
        shutil.copytree(FILES_DIR, files)
        write_event_files(files)
        write_promised(files / "pipelines")
        settings = _settings(folder, queue.url, slow.url)
        known = [(f"known-{number}", 1.0, 2.0) for number in range(_KNOWN_ACCOUNTS)]
        load_accounts(features, files / "features", folder, [*ACCOUNTS, *known])
        if triton is not running:
            triton.wait_ready()
        mesh = RunningMesh(features, triton, folder, settings=settings, files=files)
        stack.callback(mesh.kill)
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
                client.callbacks.register(name, CallbackSpec(target=endpoint.url(name)))
        prometheus = PrometheusProcess(
            folder / "prometheus", targets=_scrape_configs(mesh, triton), interval=INTERVAL
        )
        stack.callback(prometheus.stop)
        prometheus.start()
        prometheus.wait_for_targets()
        files_of_spans = list(folder.glob("*.spans"))
        yield ObservedMesh(mesh, prometheus, slow, files_of_spans, triton_spans, endpoint)


def _triton(folder: Path, spans: OtlpReceiver) -> LocalTriton:
    return LocalTriton(
        model_repository=MODELS_DIR,
        models=("echo_sum", "nan"),
        log_path=folder / "triton.log",
        cache_dir=CACHE_DIR,
        traces_endpoint=spans.url,
    )


def _settings(folder: Path, queue_url: str, feature_url: str) -> dict[str, dict[str, str]]:
    common = {
        "TAILRACE_QUEUE_REDIS_URL": queue_url,
        "TAILRACE_QUEUE_PARTITIONS": "1",
        "TAILRACE_CALLBACK_ALLOWED_NETWORKS": '["127.0.0.0/8"]',
        "TAILRACE_CALLBACK_ALLOW_PLAINTEXT": "true",
        "TAILRACE_TRACES_SAMPLE_RATE": "1",
        "TAILRACE_LOG_SAMPLE_RATE": "1",
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
