"""Everything that `make bench-mesh` compares, up at the same time, asked one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import redis

from tailrace.cli.health import wait_serving
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.cli.local_mesh import LocalMesh
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.mesh_options import MeshOptions
from tailrace.cli.preparation import PreparedExample
from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.bls.server import BlsServer
from tailrace.loadtest.bench.flights import Flight, read_flights
from tailrace.loadtest.bench.plain_chain.feature_rows import load_rows
from tailrace.loadtest.bench.plain_chain.flight_row import FlightModel, read_model
from tailrace.loadtest.bench.plain_mesh import PlainMesh
from tailrace.runtime.config import TransportSettings, load_settings

_READY_TIMEOUT_S = 60.0

LOCAL_BACKENDS = {"local": "onnxruntime", "local_triton": "triton"}
"""What runs the models of each contender with local placement."""


class BenchServers:
    """The mesh, the gateways with local placement, the plain chain, and the rivals' Triton.

    Attributes:
        model: the constants of the pipeline.
        flights: what all are asked for.
        mesh: with remote placement; its Redis is everybody's.
        rivals: the Triton of the bare model, of the plain chain and of the BLS model.
        gateways: with local placement, by contender.
        chain: the plain chain, if it was started.
    """

    model: FlightModel
    flights: list[Flight]
    rivals: BlsServer

    def __init__(
        self,
        folder: MeshFolder,
        prepared: PreparedExample,
        cache_dir: Path,
        steps: Steps,
        *,
        workers: int,
        flights_instances: int,
    ) -> None:
        """Describes the servers; `start` starts them.

        Args:
            folder: for logs and ready files; claimed by this process.
            prepared: the flights example.
            cache_dir: where the wheel's Triton backend is put together.
            steps: where to show what goes on.
            workers: processes of each gateway.
            flights_instances: processes of the flights model in the rivals' Triton.
        """
        options = MeshOptions(
            inference_backend="triton",
            workers=workers,
            cache_dir=cache_dir,
            transport=load_settings(TransportSettings),
        )
        self._folder = folder
        self._prepared = prepared
        self._options = options
        self._steps = steps
        self._flights_instances = flights_instances
        self.mesh = LocalMesh(folder, prepared, options, steps)
        self.gateways: dict[str, MeshProcess] = {}
        self.chain: PlainMesh | None = None
        self._stops: list[PlainMesh | MeshProcess] = []

    async def start(self, contenders: Sequence[str]) -> None:
        """Returns once everything that these contenders need can serve.

        Raises:
            LaunchError: something cannot be started.
        """
        await self.mesh.start()
        assert self.mesh.redis is not None
        self.model = read_model(self._prepared.example.pipelines_dir)
        with redis.Redis.from_url(self.mesh.redis.url) as client:
            load_rows(client, self.model, self._prepared.static_views())
            self.flights = read_flights(self._prepared, self.model, client)
        with self._steps.step("Starting the baselines"):
            self._start_rivals()
            if "chain" in contenders:
                self.chain = self.start_chain("plain")
        for name in LOCAL_BACKENDS:
            if name in contenders:
                with self._steps.step(f"Starting the gateway with local placement, {name}"):
                    await self._start_gateway(name)

    def start_chain(self, name: str, env: Mapping[str, str] | None = None) -> PlainMesh:
        """Returns a plain chain that listens.

        Args:
            name: what its processes are called.
            env: more of its environment.
        """
        assert self.mesh.redis is not None
        chain = PlainMesh(
            self._folder.path,
            self._prepared.example.pipelines_dir,
            self.mesh.redis.url,
            self.rivals.triton.grpc_target,
            name=name,
            env=env,
        )
        self._stops.append(chain)
        chain.start()
        return chain

    async def stop(self) -> None:
        """Ends everything."""
        for server in self._stops:
            await asyncio.to_thread(server.stop)
        if hasattr(self, "rivals"):
            await asyncio.to_thread(self.rivals.triton.stop)
        await self.mesh.stop()

    def pids(self) -> dict[str, list[int]]:
        """Returns the processes by name; those that they have started are not listed."""
        found = {
            process.name: [process.pid]
            for process in self.mesh.state(()).processes
            # Workers are children of the gateway's process.
            if not process.name.startswith("gateway-")
        }
        found["rivals' triton"] = [self.rivals.triton.process.pid]
        for name, gateway in self.gateways.items():
            found[f"{name} gateway"] = [gateway.process.pid]
        if self.chain is not None:
            for hop, process in self.chain.processes.items():
                found[f"plain {hop}"] = [process.pid]
        return found

    def _start_rivals(self) -> None:
        assert self.mesh.redis is not None
        self.rivals = BlsServer(
            self._folder.path,
            self._options.cache_dir,
            self._prepared.model_repository,
            self.model,
            self.mesh.redis.url,
            self._flights_instances,
        )
        self.rivals.triton.start()

    async def _start_gateway(self, name: str) -> None:
        assert self.mesh.redis is not None and self.mesh.triton is not None
        gateway = MeshProcess(
            "gateway",
            name=f"{name}-gateway",
            run_dir=self._folder.path,
            settings={
                "TAILRACE_PIPELINES_DIR": str(self._prepared.example.pipelines_dir),
                "TAILRACE_PLACEMENT": "local",
                "TAILRACE_WORKERS": str(self._options.workers),
                "TAILRACE_FEATURE_REDIS_URL": self.mesh.redis.url,
                "TAILRACE_TRITON_URL": self.mesh.triton.grpc_target,
                "TAILRACE_TRITON_PLAINTEXT": "true",
                "TAILRACE_INFERENCE_BACKEND": LOCAL_BACKENDS[name],
                "TAILRACE_MODEL_REPOSITORY": str(self._prepared.model_repository),
            },
        )
        self._stops.append(gateway)
        self.gateways[name] = gateway
        gateway.start()
        transport = self._options.transport
        await wait_serving(f"{name} gateway", gateway.target, transport, _READY_TIMEOUT_S)
