"""The meshes that `make bench-telemetry` compares, around one Redis and one Triton."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tailrace.cli.health import wait_serving
from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.local_triton import LocalTriton
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.cli.local.ports import LOOPBACK
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.preparation import PreparedExample
from tailrace.cli.progress import Steps
from tailrace.cli.static_views import load_static_views
from tailrace.loadtest.bench.piped_stdout import MODULE, VARIABLE
from tailrace.loadtest.bench.telemetry_counterparts import Ports, Scrapes
from tailrace.loadtest.bench.telemetry_variants import Variant
from tailrace.loadtest.bench.unread_pipe import UnreadPipe
from tailrace.runtime.config import TransportSettings, load_settings
from tailrace.runtime.placement import HOPS

_READY_TIMEOUT_S = 120.0
COUNTERPARTS = "counterparts"


class TelemetryServers:
    """A gateway and four services of each variant, and who takes their telemetry.

    Attributes:
        redis: everybody's.
        triton: everybody's; tells spans of requests that name a trace.
        meshes: processes by variant and service.
    """

    redis: LocalRedis
    triton: LocalTriton

    def __init__(self, folder: MeshFolder, prepared: PreparedExample, steps: Steps) -> None:
        """Describes the servers; `start` starts them.

        Args:
            folder: for logs and ready files; claimed by this process.
            prepared: the flights example.
            steps: where to show what goes on.
        """
        self._folder = folder
        self._prepared = prepared
        self._steps = steps
        self._transport = load_settings(TransportSettings)
        self._pipes: list[UnreadPipe] = []
        self.meshes: dict[str, dict[str, MeshProcess]] = {}
        self._counterparts: subprocess.Popen[bytes] | None = None

    async def start(self, variants: Sequence[Variant], cache_dir: Path) -> None:
        """Returns once all meshes serve. Raises LaunchError: something cannot be started."""
        ports = self._start_counterparts()
        receivers = {
            "takes": f"http://{LOOPBACK}:{ports.takes}",
            "hangs": f"http://{LOOPBACK}:{ports.hangs}",
            "logs": f"{LOOPBACK}:{ports.logs}",
        }
        await self._start_stores(receivers["takes"], cache_dir)
        with self._steps.step(f"Starting {len(variants)} meshes") as step:
            for variant in variants:
                self._launch_hops(variant, variant.settings(receivers))
            for variant in variants:
                await self._launch_gateway(variant, variant.settings(receivers))
            for name, mesh in self.meshes.items():
                step.tell(name)
                await asyncio.to_thread(mesh["gateway"].wait_ready, _READY_TIMEOUT_S)
                for service, process in mesh.items():
                    title = f"{service} of {name}"
                    await wait_serving(title, process.target, self._transport, _READY_TIMEOUT_S)
        self._scrape(variants)

    async def stop(self) -> None:
        """Ends everything."""
        processes = [process for mesh in self.meshes.values() for process in mesh.values()]
        await asyncio.gather(*(asyncio.to_thread(process.stop) for process in processes))
        for store in ("triton", "redis"):
            if hasattr(self, store):
                await asyncio.to_thread(getattr(self, store).stop)
        for pipe in self._pipes:
            pipe.close()
        if self._counterparts is not None:
            assert self._counterparts.stdin is not None and self._counterparts.stdout is not None
            self._counterparts.stdin.close()
            self._counterparts.stdout.close()
            self._counterparts.wait()

    def pids(self) -> dict[str, list[int]]:
        """Returns the processes by name; those of a mesh as `VARIANT SERVICE`."""
        assert self._counterparts is not None
        found = {
            f"{name} {service}": [process.process.pid]
            for name, mesh in self.meshes.items()
            for service, process in mesh.items()
        }
        found["redis"] = [self.redis.process.pid]
        found["triton"] = [self.triton.process.pid]
        found[COUNTERPARTS] = [self._counterparts.pid]
        return found

    def _start_counterparts(self) -> Ports:
        self._counterparts = subprocess.Popen(
            [sys.executable, "-m", "tailrace.loadtest.bench.telemetry_counterparts"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._counterparts.stdout is not None
        return Ports(**json.loads(self._counterparts.stdout.readline()))

    async def _start_stores(self, traces_endpoint: str, cache_dir: Path) -> None:
        run_dir = self._folder.path
        models = self._prepared.example.manifest.triton
        with self._steps.step("Starting Redis and Triton"):
            self.redis = LocalRedis(log_path=run_dir / "redis.log", socket_dir=run_dir)
            self.triton = LocalTriton(
                model_repository=self._prepared.model_repository,
                models=models.models,
                model_config_name=models.config_name,
                log_path=run_dir / "triton.log",
                cache_dir=cache_dir,
                traces_endpoint=traces_endpoint,
            )
            self.redis.launch()
            self.triton.launch()
            await asyncio.to_thread(self.redis.wait_ready)
            await asyncio.to_thread(
                load_static_views,
                self._prepared.static_views(),
                self._prepared.example.pipelines_dir,
                self.redis.url,
            )
            await asyncio.to_thread(self.triton.wait_ready)

    def _launch_hops(self, variant: Variant, settings: dict[str, str]) -> None:
        mesh = self.meshes[variant.name] = {}
        stores = {
            "TAILRACE_FEATURE_REDIS_URL": self.redis.url,
            "TAILRACE_TRITON_URL": self.triton.grpc_target,
            "TAILRACE_TRITON_PLAINTEXT": "true",
        }
        for hop in HOPS:
            mesh[hop] = self._describe(variant, hop, settings | stores)
            mesh[hop].launch()

    async def _launch_gateway(self, variant: Variant, settings: dict[str, str]) -> None:
        mesh = self.meshes[variant.name]
        for process in list(mesh.values()):
            await asyncio.to_thread(process.wait_ready, _READY_TIMEOUT_S)
        targets = {f"TAILRACE_{hop.upper()}_TARGET": mesh[hop].target for hop in HOPS}
        mesh["gateway"] = self._describe(variant, "gateway", settings | targets)
        mesh["gateway"].launch()

    def _describe(self, variant: Variant, service: str, settings: dict[str, str]) -> MeshProcess:
        name = f"{variant.name}-{service}"
        more = {"TAILRACE_PIPELINES_DIR": str(self._prepared.example.pipelines_dir)}
        module = "tailrace.cli"
        if variant.everything_hangs:
            pipe = UnreadPipe(self._folder.path / f"{name}.pipe")
            pipe.fill()
            self._pipes.append(pipe)
            more[VARIABLE] = str(pipe.path)
            module = MODULE
        return MeshProcess(
            service,
            run_dir=self._folder.path,
            settings=settings | more,
            name=name,
            module=module,
        )

    def _scrape(self, variants: Sequence[Variant]) -> None:
        def ports(variant: Variant) -> list[int]:
            return [process.metrics_port for process in self.meshes[variant.name].values()]

        scrapes = Scrapes(
            every_s=[(each.scrape_s, ports(each)) for each in variants if each.scrape_s],
            stuck=[port for each in variants if each.everything_hangs for port in ports(each)],
        )
        assert self._counterparts is not None and self._counterparts.stdin is not None
        self._counterparts.stdin.write(json.dumps(asdict(scrapes)).encode() + b"\n")
        self._counterparts.stdin.flush()
