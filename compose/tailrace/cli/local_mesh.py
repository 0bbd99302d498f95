"""A whole mesh on this machine: Redis, Triton, the four services and the gateway."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn, Protocol

from tailrace.cli.example import TritonSection
from tailrace.cli.health import wait_serving
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.cli.local.ports import check_port_is_free
from tailrace.cli.local.process import ChildProcess
from tailrace.cli.local.state import MeshState, ProcessState, RedisState, TritonState
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.preparation import PreparedExample
from tailrace.cli.progress import Steps
from tailrace.cli.static_views import load_static_views
from tailrace.runtime.config import TransportSettings

SERVICES = ("ingest", "features", "inference", "postprocess")
PROCESSES = (*SERVICES, "gateway", "redis", "triton")
_WATCH_INTERVAL_S = 0.1
_READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class MeshOptions:
    """How to run a mesh.

    Attributes:
        inference_backend: what runs the models.
        gpu: whether Triton sees the GPUs, and runs the models that the example has for them.
        ports: port of each of `PROCESSES`; 0 or none for a free one (Redis: a Unix socket).
        metrics_ports: likewise for metrics; Redis has none.
        redis_server_path: the `redis-server` to run, if not the one that is found.
        triton_server_path: the `tritonserver` to run, if not the one that is found.
        cache_dir: what can be made again.
        transport: credentials for talking to the mesh's processes.
    """

    inference_backend: Literal["triton", "onnxruntime"]
    gpu: bool = False
    ports: Mapping[str, int] = field(default_factory=dict)
    metrics_ports: Mapping[str, int] = field(default_factory=dict)
    redis_server_path: Path | None = None
    triton_server_path: Path | None = None
    cache_dir: Path
    transport: TransportSettings


class _Server(Protocol):
    process: ChildProcess

    def stop(self) -> None: ...


class LocalMesh:
    """Starts everything, in parallel where nothing stands against it, and stops everything."""

    def __init__(
        self, folder: MeshFolder, prepared: PreparedExample, options: MeshOptions, steps: Steps
    ) -> None:
        """Describes the mesh; `start` starts it.

        Args:
            folder: where its logs go; claimed by this process.
            prepared: what it is to serve.
            options: how to run it.
            steps: where to show what goes on.
        """
        self._folder = folder
        self._prepared = prepared
        self._options = options
        self._steps = steps
        self._started_at = datetime.datetime.now(datetime.UTC)
        self._servers: dict[str, _Server] = {}
        self._ready: list[str] = []
        self.redis: LocalRedis | None = None
        self.triton: LocalTriton | None = None
        self.mesh_processes: dict[str, MeshProcess] = {}

    @property
    def gateway_target(self) -> str:
        """Where callers reach the mesh; real once it is started."""
        return self.mesh_processes["gateway"].target

    async def start(self) -> None:
        """Returns once every process says that it can serve.

        Raises:
            LaunchError: if one cannot be started, ends, or does not become able to serve.
        """
        # Each would find out by itself, some of them only after others have been started.
        for ports in (self._options.ports, self._options.metrics_ports):
            for name, port in ports.items():
                check_port_is_free(name, port)
        try:
            async with asyncio.TaskGroup() as group:
                await self._start_in(group)
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors

    async def watch(self) -> NoReturn:
        """Waits for a process to end that was ready and should not end.

        Raises:
            ProcessExited: as soon as one has.
        """
        while True:
            for name in self._ready:
                self._servers[name].process.check()
            await asyncio.sleep(_WATCH_INTERVAL_S)

    async def stop(self) -> None:
        """Ends every process: the gateway first, so that no request is cut short."""
        if not self._servers:
            return
        with self._steps.step("Stopping"):
            servers = dict(self._servers)
            gateway = servers.pop("gateway", None)
            if gateway:
                await asyncio.to_thread(gateway.stop)
            await asyncio.gather(*(asyncio.to_thread(s.stop) for s in servers.values()))

    def kill(self) -> None:
        """Ends every process at once, for those who will not wait for `stop`."""
        for server in self._servers.values():
            server.process.kill()

    def state(self, pipelines: Iterable[str]) -> MeshState:
        """Returns what the state file is to say of a started mesh that serves those pipelines."""
        assert self.redis is not None
        processes = []
        for name, server in self._servers.items():
            mesh_process = self.mesh_processes.get(name)
            grpc_port = mesh_process.port if mesh_process else None
            metrics_port = mesh_process.metrics_port if mesh_process else None
            if server is self.triton:
                grpc_port, metrics_port = self.triton.grpc_port, self.triton.metrics_port
            process = ProcessState.of_running(
                name,
                server.process.pid,
                log_path=server.process.log_path,
                grpc_port=grpc_port,
                metrics_port=metrics_port,
            )
            processes.append(process)
        return MeshState(
            mesh=self._folder.name,
            started_at=self._started_at,
            launcher=ProcessState.of_running("launcher", os.getpid(), log_path=self._folder.path),
            processes=tuple(processes),
            redis=RedisState(url=self.redis.url, version=self.redis.version),
            tritons=(self._triton_state(self.triton),) if self.triton else (),
            pipelines=tuple(pipelines),
        )

    async def _start_in(self, group: asyncio.TaskGroup) -> None:
        # What each one has to know decides who waits for whom: features the address of Redis,
        # inference that of Triton, the gateway those of all four services.
        redis = group.create_task(self._start_redis())
        triton = group.create_task(self._start_triton())
        names = ("ingest", "postprocess")
        services = [group.create_task(self._start_service(name)) for name in names]
        redis_url = await redis
        loaded = group.create_task(self._load_views(redis_url))
        features = self._start_service("features", {"TAILRACE_FEATURE_REDIS_URL": redis_url})
        services.append(group.create_task(features))
        inference = self._start_service("inference", await triton)
        services.append(group.create_task(inference))
        await asyncio.gather(*services)
        targets = {
            f"TAILRACE_{name.upper()}_TARGET": self.mesh_processes[name].target for name in SERVICES
        }
        await asyncio.gather(self._start_service("gateway", targets), loaded)
        with self._steps.step("Waiting until all of them can serve"):
            await asyncio.gather(*(self._wait_serving(name) for name in self.mesh_processes))

    async def _start_redis(self) -> str:
        with self._steps.step("Starting Redis") as step:
            self.redis = LocalRedis(
                log_path=self._folder.path / "redis.log",
                server_path=self._options.redis_server_path,
                port=self._options.ports.get("redis", 0),
                socket_dir=self._folder.path,
            )
            self._servers["redis"] = self.redis
            self.redis.launch()
            await asyncio.to_thread(self.redis.wait_ready)
            self._ready.append("redis")
            step.tell(self.redis.version)
            return self.redis.url

    async def _start_triton(self) -> dict[str, str]:
        repository = self._prepared.model_repository
        settings = {
            "TAILRACE_INFERENCE_BACKEND": self._options.inference_backend,
            "TAILRACE_MODEL_REPOSITORY": str(repository),
        }
        if self._options.inference_backend != "triton":
            return settings
        models = self._models()
        if self._options.gpu and models.gpu is not None:
            settings["TAILRACE_MODEL_SUBSTITUTES"] = json.dumps(models.gpu.substitutes)
        with self._steps.step(f"Starting Triton with {', '.join(models.models)}") as step:
            self.triton = LocalTriton(
                model_repository=repository,
                models=models.models,
                model_config_name=models.config_name,
                log_path=self._folder.path / "triton.log",
                cache_dir=self._options.cache_dir,
                server_path=self._options.triton_server_path,
                gpu=self._options.gpu,
                grpc_port=self._options.ports.get("triton", 0),
                metrics_port=self._options.metrics_ports.get("triton", 0),
            )
            self._servers["triton"] = self.triton
            self.triton.launch()
            await asyncio.to_thread(self.triton.wait_ready)
            self._ready.append("triton")
            step.tell(self.triton.version)
            # On loopback, and started without certificates, whatever the services have.
            plaintext = {"TAILRACE_TRITON_PLAINTEXT": "true"}
            return {**settings, **plaintext, "TAILRACE_TRITON_URL": self.triton.grpc_target}

    async def _start_service(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        with self._steps.step(f"Starting {name}") as step:
            server = MeshProcess(
                name,
                run_dir=self._folder.path,
                settings={**self._common_settings(), **(settings or {})},
                port=self._options.ports.get(name, 0),
                metrics_port=self._options.metrics_ports.get(name, 0),
            )
            self._servers[name] = self.mesh_processes[name] = server
            server.launch()
            await asyncio.to_thread(server.wait_ready)
            self._ready.append(name)
            step.tell(server.target)

    async def _load_views(self, redis_url: str) -> None:
        views = self._prepared.static_views()
        if not views:
            return
        with self._steps.step(f"Loading the static views {', '.join(views)}") as step:
            pipelines_dir = self._prepared.example.pipelines_dir
            rows = await asyncio.to_thread(load_static_views, views, pipelines_dir, redis_url)
            step.tell(f"{rows:,} rows")

    async def _wait_serving(self, name: str) -> None:
        target = self.mesh_processes[name].target
        await wait_serving(name, target, self._options.transport, _READY_TIMEOUT_S)

    def _common_settings(self) -> dict[str, str]:
        return {"TAILRACE_PIPELINES_DIR": str(self._prepared.example.pipelines_dir)}

    def _models(self) -> TritonSection:
        section = self._prepared.example.manifest.triton
        return section.on_gpu() if self._options.gpu else section

    def _triton_state(self, triton: LocalTriton) -> TritonState:
        return TritonState(
            target=triton.grpc_target,
            metrics_url=triton.metrics_url,
            version=triton.version,
            models=tuple(self._models().models),
        )


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Returns the first launch error among several errors, else the first of them."""
    launch_errors = errors.subgroup(LaunchError)
    error: BaseException = launch_errors or errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
