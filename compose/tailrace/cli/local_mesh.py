"""A whole mesh on this machine: Redis, Triton, the services, the gateway, and submissions."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NoReturn, Protocol

from tailrace.cli.example import TritonSection
from tailrace.cli.health import wait_serving
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.cli.local.mesh_process import MeshProcess, balanced_target, replica_name
from tailrace.cli.local.process import ChildProcess
from tailrace.cli.local.state import MeshState, ProcessState, RedisState, TritonState
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.mesh_options import MeshOptions
from tailrace.cli.preparation import PreparedExample
from tailrace.cli.progress import Steps
from tailrace.cli.queue_server import QUEUE_REDIS, queue_server, queue_settings
from tailrace.cli.static_views import load_static_views
from tailrace.runtime.config import FeaturesSettings, load_settings
from tailrace.runtime.pipeline.directory import events_directory, features_directory
from tailrace.runtime.placement import parse_placement

_WATCH_INTERVAL_S = 0.1
_READY_TIMEOUT_S = 60.0
_FIRST_TO_STOP = ("gateway", "dispatcher", "courier", "events")


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
        self._places = parse_placement(options.placement)
        self._started_at = datetime.datetime.now(datetime.UTC)
        self._servers: dict[str, _Server] = {}
        self._ready: list[str] = []
        self.redis: LocalRedis | None = None
        self.queue_redis: LocalRedis | None = None
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
        self._options.check_ports()
        try:
            async with asyncio.TaskGroup() as group:
                await self._start_in(group)
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors

    async def watch(self, changed: Callable[[], None]) -> NoReturn:
        """Waits for a process to end that was ready and should not end.

        Args:
            changed: called when `state` has become another one: the gateway has started a
                worker again, or lost one.

        Raises:
            ProcessExited: as soon as a process has ended that nobody starts again.
        """
        while True:
            for name in self._ready:
                self._servers[name].process.check()
            if self._options.workers > 1 and "gateway" in self._ready:
                if self.mesh_processes["gateway"].look_for_workers():
                    changed()
            await asyncio.sleep(_WATCH_INTERVAL_S)

    async def stop(self) -> None:
        """Ends every process: each before those that it needs, so that nothing is cut short."""
        if not self._servers:
            return
        with self._steps.step("Stopping"):
            servers = dict(self._servers)
            first = [servers.pop(name, None) for name in _FIRST_TO_STOP]
            last = [servers.pop(name, None) for name in ("redis", QUEUE_REDIS)]
            for group in (*([each] for each in first), servers.values(), last):
                await asyncio.gather(*(asyncio.to_thread(each.stop) for each in group if each))

    def kill(self) -> None:
        """Ends every process at once, for those who will not wait for `stop`."""
        for server in self._servers.values():
            server.process.kill()

    def state(self, pipelines: Iterable[str]) -> MeshState:
        """Returns what the state file is to say of a started mesh that serves those pipelines."""
        assert self.redis is not None
        processes: list[ProcessState] = []
        for name, server in self._servers.items():
            if name in self.mesh_processes:
                processes += self.mesh_processes[name].states()
                continue
            triton = self.triton if server is self.triton else None
            process = ProcessState.of_running(
                name,
                server.process.pid,
                log_path=server.process.log_path,
                grpc_port=triton.grpc_port if triton else None,
                metrics_port=triton.metrics_port if triton else None,
            )
            processes.append(process)
        return MeshState(
            mesh=self._folder.name,
            started_at=self._started_at,
            launcher=ProcessState.of_running("launcher", os.getpid(), log_path=self._folder.path),
            processes=tuple(processes),
            redis=RedisState(url=self.redis.url, version=self.redis.version),
            queue_redis=(
                RedisState(url=self.queue_redis.url, version=self.queue_redis.version)
                if self.queue_redis
                else None
            ),
            tritons=(self._triton_state(self.triton),) if self.triton else (),
            pipelines=tuple(pipelines),
            pipelines_dir=self._prepared.example.pipelines_dir.absolute(),
            feature_key_prefix=load_settings(FeaturesSettings).feature_key_prefix,
        )

    async def _start_in(self, group: asyncio.TaskGroup) -> None:
        # What each one has to know decides who waits for whom: features the address of Redis,
        # inference that of Triton, gateway and dispatcher those of all four services.
        redis = group.create_task(self._start_redis())
        queue = group.create_task(self._start_queue())
        triton = group.create_task(self._start_triton())
        loaded = group.create_task(self._load_views(redis))
        needs = {"features": redis, "inference": triton}
        hops = [group.create_task(self._start_hop(hop, needs.get(hop))) for hop in self._places]
        settings = {"TAILRACE_PLACEMENT": self._options.placement, **await queue}
        for hop in hops:
            settings |= await hop
        workers = {"TAILRACE_WORKERS": str(self._options.workers)}
        services = [self._start_service("gateway", "gateway", settings | workers)]
        if self._options.submissions:
            services.append(self._start_service("dispatcher", "dispatcher", settings))
            services.append(self._start_service("courier", "courier", await queue))
        if self._has_events():
            services.append(self._start_events(redis))
        await asyncio.gather(*services, loaded)
        with self._steps.step("Waiting until all of them can serve"):
            await asyncio.gather(*(self._wait_serving(name) for name in self.mesh_processes))

    async def _start_hop(
        self, hop: str, needs: Awaitable[Mapping[str, str]] | None
    ) -> Mapping[str, str]:
        """Starts the replicas of a hop, if it has any; returns the gateway's settings for it."""
        settings = await needs if needs is not None else {}
        if self._places[hop] == "local":
            return settings
        names = [replica_name(hop, i + 1) for i in range(self._options.replicas.get(hop, 1))]
        await asyncio.gather(*(self._start_service(hop, name, settings) for name in names))
        targets = [self.mesh_processes[name].target for name in names]
        return {f"TAILRACE_{hop.upper()}_TARGET": await self.hop_target(hop, targets)}

    async def hop_target(self, hop: str, targets: Sequence[str]) -> str:
        """Returns where the gateway reaches a hop. Meshes with something between them say it anew.

        Args:
            hop: name of the hop.
            targets: its replicas, as `host:port`.
        """
        return balanced_target(targets)

    def _has_events(self) -> bool:
        """Whether there are event types, and so something for an event service to do."""
        features = features_directory(self._prepared.example.pipelines_dir)
        return any(events_directory(features).glob("*.y*ml"))

    async def _start_events(self, redis: Awaitable[Mapping[str, str]]) -> None:
        # This Redis keeps nothing on disk, for events no more than for other features.
        durability = {"TAILRACE_EVENTS_DURABILITY": "none"}
        await self._start_service("events", "events", {**await redis, **durability})

    async def _start_redis(self) -> dict[str, str]:
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
            return {"TAILRACE_FEATURE_REDIS_URL": self.redis.url}

    async def _start_queue(self) -> dict[str, str]:
        if not self._options.submissions:
            return {}
        with self._steps.step("Starting the queue Redis") as step:
            self.queue_redis = queue_server(self._folder, self._options)
            self._servers[QUEUE_REDIS] = self.queue_redis
            self.queue_redis.launch()
            await asyncio.to_thread(self.queue_redis.wait_ready)
            self._ready.append(QUEUE_REDIS)
            step.tell(f"{self.queue_redis.version}, durability {self._options.queue_durability}")
            return queue_settings(self.queue_redis, self._options)

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
                traces_endpoint=self._options.traces_endpoint,
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

    async def _start_service(self, service: str, name: str, settings: Mapping[str, str]) -> None:
        with self._steps.step(f"Starting {name}") as step:
            server = MeshProcess(
                service,
                run_dir=self._folder.path,
                settings={**self._common_settings(), **settings},
                port=self._options.ports.get(name, 0),
                metrics_port=self._options.metrics_ports.get(name, 0),
                name=name,
            )
            self._servers[name] = self.mesh_processes[name] = server
            server.launch()
            await asyncio.to_thread(server.wait_ready)
            self._ready.append(name)
            workers = f", {len(server.workers)} workers" if server.workers else ""
            step.tell(f"{server.target}{workers}")

    async def _load_views(self, redis: Awaitable[object]) -> None:
        views = self._prepared.static_views()
        await redis
        assert self.redis is not None
        if not views:
            return
        with self._steps.step(f"Loading the static views {', '.join(views)}") as step:
            pipelines_dir = self._prepared.example.pipelines_dir
            rows = await asyncio.to_thread(load_static_views, views, pipelines_dir, self.redis.url)
            step.tell(f"{rows:,} rows")

    async def _wait_serving(self, name: str) -> None:
        process = self.mesh_processes[name]
        targets = {worker.name: worker.target for worker in process.workers}
        for one, target in (targets or {name: process.target}).items():
            await wait_serving(one, target, self._options.transport, _READY_TIMEOUT_S)

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
