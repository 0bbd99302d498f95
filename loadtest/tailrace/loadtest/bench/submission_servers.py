"""What `make bench-submissions` loads: a mesh with its queue, a second queue, and a receiver."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from tailrace.cli.health import wait_serving
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.cli.local_mesh import LocalMesh
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.mesh_options import MeshOptions
from tailrace.cli.preparation import PreparedExample
from tailrace.cli.progress import Steps
from tailrace.cli.queue_server import QUEUE_REDIS, queue_settings
from tailrace.client import AsyncClient, CallbackSpec
from tailrace.loadtest.bench.flights import Flight, read_flights
from tailrace.loadtest.bench.generators import EXPERIMENTS
from tailrace.loadtest.bench.plain_chain.feature_rows import load_rows
from tailrace.loadtest.bench.plain_chain.flight_row import read_model
from tailrace.loadtest.bench.submission_receiver import Taken
from tailrace.runtime.config import TransportSettings, load_settings
from tailrace.runtime.placement import HOPS
from tailrace.webhooks.keys import Scheme, make_secret

MAX_BATCH = 256
SINGLE_IN_FLIGHT = 64
CALLBACKS = ("many", "single", "webhook")
"""Registered with every gateway: gRPC with many results per message, with one, and HTTP."""

DURABILITIES = ("everysec", "always")
"""Each has a queue Redis, a gateway, a dispatcher and a courier of its own; the hops are shared."""

_READY_TIMEOUT_S = 60.0


class SubmissionServers:
    """All processes but the generator.

    Attributes:
        flights: what is asked for.
        mesh: with the durability `everysec`.
        targets: of the gateways, by durability.
        feed: socket on which the receiver tells how many results it has taken.
    """

    flights: list[Flight]

    def __init__(
        self, folder: MeshFolder, prepared: PreparedExample, cache_dir: Path, steps: Steps
    ) -> None:
        """Describes the servers; `start` starts them.

        Args:
            folder: for logs and ready files; claimed by this process.
            prepared: the flights example.
            cache_dir: where the wheel's Triton backend is put together.
            steps: where to show what goes on.
        """
        self._folder = folder
        self._prepared = prepared
        self._steps = steps
        self._options = MeshOptions(
            inference_backend="triton",
            queue_durability="everysec",
            cache_dir=cache_dir,
            transport=load_settings(TransportSettings),
        )
        self.mesh = LocalMesh(folder, prepared, self._options, steps)
        self.targets: dict[str, str] = {}
        self.feed = folder.path / "feed.sock"
        self._secret, _ = make_secret(Scheme.HMAC_SHA256)
        self._always: dict[str, MeshProcess] = {}
        self._always_redis: LocalRedis | None = None
        self._receiver: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Returns once all but the receiver can serve. Raises LaunchError."""
        await self.mesh.start()
        self.targets["everysec"] = self.mesh.gateway_target
        assert self.mesh.redis is not None
        model = read_model(self._prepared.example.pipelines_dir)
        with redis.Redis.from_url(self.mesh.redis.url) as client:
            load_rows(client, model, self._prepared.static_views())
            self.flights = read_flights(self._prepared, model, client)
        with self._steps.step("Starting the queue that syncs every write"):
            await self._start_always()
            self.targets["always"] = self._always["gateway"].target

    async def start_receiver(self, expected: Sequence[float]) -> None:
        """Starts the receiver, and registers it with the gateways.

        Args:
            expected: score of each flight.
        """
        file = self._folder.path / "expected.json"
        file.write_text(json.dumps(expected))
        arguments = ["--socket", str(self.feed), "--expected", str(file), "--secret", self._secret]
        settings = [f"{name}={value}" for name, value in EXPERIMENTS.items()]
        module = "tailrace.loadtest.bench.submission_receiver"
        # It ends by itself once nobody holds the other end of its input.
        self._receiver = await asyncio.to_thread(
            subprocess.Popen,
            ["env", *settings, sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        targets = await asyncio.to_thread(self._read_line)
        specs = {
            "many": CallbackSpec(target=targets["grpc"], max_batch=MAX_BATCH),
            "single": CallbackSpec(target=targets["grpc"], max_in_flight=SINGLE_IN_FLIGHT),
            "webhook": CallbackSpec(target=targets["webhook"], max_in_flight=SINGLE_IN_FLIGHT),
        }
        for target in self.targets.values():
            async with AsyncClient(target) as client:
                for name in CALLBACKS:
                    await client.callbacks.register(name, specs[name], secret=self._secret)

    async def taken(self) -> Taken:
        """Returns what the receiver has taken since the last time."""
        assert self._receiver is not None and self._receiver.stdin is not None
        self._receiver.stdin.write(b"\n")
        self._receiver.stdin.flush()
        return Taken(**await asyncio.to_thread(self._read_line))

    async def stop(self) -> None:
        """Ends everything."""
        for name in ("gateway", "dispatcher", "courier"):
            if name in self._always:
                await asyncio.to_thread(self._always[name].stop)
        if self._always_redis is not None:
            await asyncio.to_thread(self._always_redis.stop)
        await self.mesh.stop()
        if self._receiver is not None:
            assert self._receiver.stdin is not None and self._receiver.stdout is not None
            self._receiver.stdin.close()
            self._receiver.stdout.close()
            await asyncio.to_thread(self._receiver.wait)

    async def stop_dispatcher(self) -> None:
        """Ends the dispatcher of the mesh."""
        await asyncio.to_thread(self.mesh.mesh_processes["dispatcher"].stop)

    async def start_dispatcher(self) -> None:
        """Returns once the dispatcher of the mesh runs again."""
        dispatcher = self.mesh.mesh_processes["dispatcher"]
        dispatcher.launch()
        await asyncio.to_thread(dispatcher.wait_ready)
        await self._serving("dispatcher", dispatcher)

    def pids(self) -> dict[str, list[int]]:
        """Returns the processes by name; those of the second queue are `always …`."""
        assert self._receiver is not None and self._always_redis is not None
        found = {process.name: [process.pid] for process in self.mesh.state(()).processes}
        found["receiver"] = [self._receiver.pid]
        found[f"always {QUEUE_REDIS}"] = [self._always_redis.process.pid]
        for name, process in self._always.items():
            found[f"always {name}"] = [process.process.pid]
        return found

    async def _start_always(self) -> None:
        data = self._folder.path / "always"
        data.mkdir(mode=0o700)
        self._always_redis = LocalRedis(
            log_path=self._folder.path / "always-redis.log",
            socket_dir=data,
            append_only=True,
            append_fsync="always",
        )
        self._always_redis.start()
        options = dataclasses.replace(self._options, queue_durability="always")
        hops = self.mesh.mesh_processes
        settings = {
            "TAILRACE_PIPELINES_DIR": str(self._prepared.example.pipelines_dir),
            **{f"TAILRACE_{hop.upper()}_TARGET": hops[hop].target for hop in HOPS},
            **queue_settings(self._always_redis, options),
        }
        for service in ("gateway", "dispatcher", "courier"):
            process = MeshProcess(
                service, name=f"always-{service}", run_dir=self._folder.path, settings=settings
            )
            self._always[service] = process
            process.start()
            await self._serving(f"always {service}", process)

    async def _serving(self, name: str, process: MeshProcess) -> None:
        await wait_serving(name, process.target, self._options.transport, _READY_TIMEOUT_S)

    def _read_line(self) -> Any:
        assert self._receiver is not None and self._receiver.stdout is not None
        line = self._receiver.stdout.readline()
        if not line:
            raise RuntimeError(f"the receiver ended with status {self._receiver.wait()}")
        return json.loads(line)
