"""A real Triton on this machine, with the models it was told to load and no others."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tailrace.cli.local.errors import LaunchError, PortInUse, ProcessExited
from tailrace.cli.local.ports import LOOPBACK, listening_ports, port_holder
from tailrace.cli.local.process import ChildProcess
from tailrace.cli.local.triton_install import find_triton

# The same address in another spelling: given the same one twice, Triton calls the two
# ports of 0 and 0 a clash. "localhost" it binds to the wildcard address.
_METRICS_ADDRESS = "127.1"

_SHARED_MEMORY_DIR = Path("/dev/shm")
_EXIT_TIMEOUT_S = 5
_TRACES_PATH = "/v1/traces"
_TRACES_DELAY_MS = 1_000
# By itself it would end 10 s late where the receiver hangs, and so be killed.
_TRACES_ENV = {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "1s"}
_PROBE_TIMEOUT_S = 1.0
_PORT_IN_USE = re.compile(r"Socket '[^']*:(\d+)' already in use")


class LocalTriton:
    """A Triton of our own that listens on loopback, under explicit model control.

    After `stop` or `kill` it can be started again, and then takes the same ports.

    Attributes:
        process: the process underneath.
        grpc_port: the real port once it is ready; before that the one asked for.
        metrics_port: the real port once it is ready; before that the one asked for.
        version: the server's own version; empty until it is ready.
    """

    def __init__(
        self,
        *,
        model_repository: Path,
        models: Sequence[str],
        log_path: Path,
        cache_dir: Path,
        model_config_name: str = "",
        server_path: Path | None = None,
        grpc_port: int = 0,
        metrics_port: int = 0,
        gpu: bool = False,
        auto_complete_config: bool = False,
        traces_endpoint: str | None = None,
        extra_arguments: Sequence[str] = (),
        name: str = "triton",
    ) -> None:
        """Describes the server; `start` starts it.

        Args:
            model_repository: folder of models.
            models: the models to load at the start; more can be loaded through its API.
            log_path: file for its output.
            cache_dir: where the wheel's Python backend is put together, once per version.
            model_config_name: which of the models' `configs/` to use; empty for `config.pbtxt`.
            server_path: the `tritonserver` to run; by default the one on PATH or in the wheel.
            grpc_port: port for gRPC on loopback; 0 for a free one.
            metrics_port: port for metrics on loopback; 0 for a free one.
            gpu: whether it, and its models, may see the machine's GPUs.
            auto_complete_config: fill in what a model's config leaves out; costs a second
                start of every Python model.
            traces_endpoint: base URL of an OTLP/HTTP receiver that its spans go to, of requests
                that name a trace; None: it makes no spans.
            extra_arguments: more command line arguments.
            name: what to call it in messages.

        Raises:
            ServerMissing: if there is no `tritonserver`, or something it needs is missing.
        """
        self.grpc_port = grpc_port
        self.metrics_port = metrics_port
        self.version = ""
        self._name = name
        self._log_path = log_path
        self._install = find_triton(server_path, cache_dir=cache_dir)
        # Names its shared memory, so that what a crash leaves behind is known to be its own.
        self._memory_prefix = f"tailrace_{os.getpid()}_{secrets.token_hex(4)}_"
        self._arguments = [
            f"--model-repository={model_repository.resolve()}",
            *([f"--model-config-name={model_config_name}"] if model_config_name else []),
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in models),
            "--allow-http=false",
            f"--grpc-address={LOOPBACK}",
            "--reuse-grpc-port=false",
            f"--metrics-address={_METRICS_ADDRESS}",
            f"--allow-gpu-metrics={str(gpu).lower()}",
            f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
            f"--backend-config=python,shm-region-prefix-name={self._memory_prefix}",
            *([] if auto_complete_config else ["--disable-auto-complete-config"]),
            *(trace_arguments(traces_endpoint) if traces_endpoint else []),
            *self._install.arguments,
            *extra_arguments,
        ]
        self._env = {
            **self._install.env,
            **({} if gpu else {"CUDA_VISIBLE_DEVICES": ""}),
            **(_TRACES_ENV if traces_endpoint else {}),
        }
        self.process = self._describe_process()

    @property
    def grpc_target(self) -> str:
        """Where to reach it, as `host:port`; real once it is ready."""
        return f"{LOOPBACK}:{self.grpc_port}"

    @property
    def metrics_url(self) -> str:
        """Where its Prometheus metrics are; real once it is ready."""
        return f"http://{LOOPBACK}:{self.metrics_port}/metrics"

    def start(self, timeout_s: float = 60.0) -> None:
        """Starts the server and returns once it is ready; `launch` and `wait_ready` in one."""
        self.launch()
        self.wait_ready(timeout_s)

    def launch(self) -> None:
        """Starts the server and returns at once; from the main thread only."""
        self.process = self._describe_process()
        self.process.start()

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Returns once the server says that it and its models are ready; blocks, on any thread.

        Raises:
            PortInUse: if another process has one of its ports.
            ProcessExited: if it ends for another reason, such as a model that does not load.
            NotReady: if it does not become ready within `timeout_s` seconds.
        """
        try:
            self.grpc_port, self.metrics_port = self.process.wait_until(
                self._find_ports, timeout_s=timeout_s, waiting_for="its gRPC and metrics ports"
            )
            with grpc.insecure_channel(self.grpc_target) as channel:
                stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                self.version = self.process.wait_until(
                    lambda: _version_if_ready(stub), timeout_s=timeout_s, waiting_for="ServerReady"
                )
        except ProcessExited as error:
            self._remove_shared_memory()
            raise self._explain(error) from error

    def stop(self, grace_s: float = _EXIT_TIMEOUT_S + 3.0) -> None:
        """Ends the server and its model processes, and removes their shared memory."""
        self.process.stop(grace_s)
        self._remove_shared_memory()

    def kill(self) -> None:
        """Ends the server and its model processes with SIGKILL, as a crash would."""
        self.process.kill()
        self._remove_shared_memory()

    def _describe_process(self) -> ChildProcess:
        ports = [f"--grpc-port={self.grpc_port}", f"--metrics-port={self.metrics_port}"]
        return ChildProcess(
            self._name,
            [str(self._install.binary), *self._arguments, *ports],
            log_path=self._log_path,
            env=self._env,
            # SIGTERM lets it end its model processes and free its shared memory.
            parent_death_signal=signal.SIGTERM,
        )

    def _find_ports(self) -> tuple[int, int] | None:
        if "Started GRPCInferenceService" not in self.process.log_text():
            return None
        # Its log says 0 where 0 was asked for, so the kernel is asked.
        ports = listening_ports(self.process.pid)
        for metrics_port in ports:
            if len(ports) == 2 and _serves_metrics(metrics_port):
                (grpc_port,) = ports - {metrics_port}
                return grpc_port, metrics_port
        return None

    def _explain(self, error: ProcessExited) -> LaunchError:
        lines = self.process.log_text().splitlines()
        for line in lines:
            clash = _PORT_IN_USE.search(line)
            if clash:
                port = int(clash[1])
                return PortInUse(self._name, host=LOOPBACK, port=port, holder=port_holder(port))
        return ProcessExited(
            self._name,
            exit_status=error.exit_status,
            log_path=error.log_path,
            last_lines=lines,
        )

    def _remove_shared_memory(self) -> None:
        for region in _SHARED_MEMORY_DIR.glob(f"{self._memory_prefix}*"):
            region.unlink(missing_ok=True)


def trace_arguments(endpoint: str) -> list[str]:
    """Returns the arguments by which Triton's OpenTelemetry mode joins the traces of its callers.

    A rate of 0 leaves the spans of requests that name a trace, whatever that says of being in the
    sample (seen with Triton 2.51; "OpenTelemetry Context Propagation" in its `trace.md` says that
    it may change). So its callers name one only where the request is in the sample.

    Args:
        endpoint: base URL of the receiver, such as http://127.0.0.1:4318. Triton sends JSON.
    """
    base = endpoint.rstrip("/")
    url = base if base.endswith(_TRACES_PATH) else f"{base}{_TRACES_PATH}"
    settings = (
        "mode=opentelemetry",
        "rate=0",
        "count=-1",
        "level=TIMESTAMPS",
        f"opentelemetry,url={url}",
        "opentelemetry,resource=service.name=triton",
        f"opentelemetry,bsp_schedule_delay={_TRACES_DELAY_MS}",
    )
    return [f"--trace-config={setting}" for setting in settings]


def _version_if_ready(stub: service_pb2_grpc.GRPCInferenceServiceStub) -> str | None:
    try:
        ready = stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=_PROBE_TIMEOUT_S)
        if not ready.ready:
            return None
        request = service_pb2.ServerMetadataRequest()
        return str(stub.ServerMetadata(request, timeout=_PROBE_TIMEOUT_S).version)
    except grpc.RpcError:
        return None


def _serves_metrics(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PROBE_TIMEOUT_S)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
