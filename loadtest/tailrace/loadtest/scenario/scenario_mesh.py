"""The mesh that a scenario starts, and what it does to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path

from tailrace.cli.example import load_example
from tailrace.cli.health import wait_serving
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.local.mesh_process import MeshProcess, balanced_target
from tailrace.cli.local_mesh import LocalMesh
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.mesh_options import MeshOptions
from tailrace.cli.preparation import PreparedExample, prepare
from tailrace.cli.progress import Steps
from tailrace.loadtest.bench.process_usage import ProcessUsage
from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.scenario.mesh_section import EventSection, MeshSection
from tailrace.loadtest.scenario.relay import Relay
from tailrace.runtime.config import LauncherSettings, load_settings
from tailrace.runtime.pipeline.problem import nearest

_READY_TIMEOUT_S = 60.0
# Of a checkout: the folder that has `examples`.
PROJECT = Path(__file__).parents[4]


class ScenarioMesh(LocalMesh):
    """A mesh whose processes can be killed, and whose hops can be made slow, while it runs."""

    def __init__(
        self,
        folder: MeshFolder,
        prepared: PreparedExample,
        options: MeshOptions,
        steps: Steps,
        slow_hops: Sequence[str] = (),
    ) -> None:
        """Describes the mesh; `start` starts it.

        Args:
            folder: where its logs go; claimed by this process.
            prepared: what it is to serve.
            options: how to run it.
            steps: where to show what goes on.
            slow_hops: hops that have a relay before them, to be made slow.
        """
        super().__init__(folder, prepared, options, steps)
        self.prepared = prepared
        self._transport = options.transport
        self._slow_hops = slow_hops
        self._relays: dict[str, list[Relay]] = {}
        self._on_purpose: set[str] = set()

    async def hop_target(self, hop: str, targets: Sequence[str]) -> str:
        """Returns where the gateway reaches a hop: at its relays, if it has any."""
        if hop not in self._slow_hops:
            return await super().hop_target(hop, targets)
        relays = self._relays[hop] = [Relay(target) for target in targets]
        for relay in relays:
            await relay.start()
        return balanced_target([f"127.0.0.1:{relay.port}" for relay in relays])

    async def stop(self) -> None:
        """Ends everything."""
        await super().stop()
        for relays in self._relays.values():
            for relay in relays:
                await relay.stop()

    def process_named(self, name: str) -> MeshProcess:
        """Returns one of the mesh's own processes. Raises LoadError if there is none."""
        if name not in self.mesh_processes:
            names = list(self.mesh_processes)
            hint = nearest(name, names)
            raise LoadError(
                f"the mesh has no process {name!r}",
                f"did you mean {hint!r}?" if hint else f"there are {', '.join(names)}",
            )
        return self.mesh_processes[name]

    async def apply(self, event: EventSection) -> list[tuple[str, float]]:
        """Does what an event says, and returns once it is over.

        Returns:
            What happened, in words, and when, in seconds on the monotonic clock.

        Raises:
            LaunchError: a process did not start again.
        """
        match event.what:
            case "kill":
                return await self._kill(event)
            case "pause":
                return await self._pause(event)
            case "slow":
                return await self._slow(event)

    def unexpected_ends(self) -> list[str]:
        """Returns what has ended without anybody having asked for it, with its last words."""
        found = []
        for name, process in self.mesh_processes.items():
            if name not in self._on_purpose:
                try:
                    process.process.check()
                except LaunchError as error:
                    found.append(str(error))
        return found

    def usage(self, without: Collection[str] = ()) -> ProcessUsage:
        """Returns what reads memory and CPU time of the mesh's processes, by their names.

        Args:
            without: names of processes that it leaves out.
        """
        # Workers are children of the gateway's process.
        return ProcessUsage(
            {
                each.name: [each.pid]
                for each in self.state(()).processes
                if each.name not in without and not each.name.startswith("gateway-")
            }
        )

    async def _kill(self, event: EventSection) -> list[tuple[str, float]]:
        process = self.process_named(event.process)
        self._on_purpose.add(event.process)
        told = [(f"{event.process} killed", time.monotonic())]
        await asyncio.to_thread(process.kill)
        await asyncio.sleep(event.lasting.total_seconds())
        told.append((f"{event.process} started again", time.monotonic()))
        process.launch()
        await asyncio.to_thread(process.wait_ready)
        await wait_serving(event.process, process.target, self._transport, _READY_TIMEOUT_S)
        self._on_purpose.discard(event.process)
        told.append((f"{event.process} serves", time.monotonic()))
        return told

    async def _pause(self, event: EventSection) -> list[tuple[str, float]]:
        process = self.process_named(event.process).process
        process.signal(signal.SIGSTOP)
        told = [(f"{event.process} stopped", time.monotonic())]
        try:
            await asyncio.sleep(event.lasting.total_seconds())
        finally:
            process.signal(signal.SIGCONT)
        return [*told, (f"{event.process} goes on", time.monotonic())]

    async def _slow(self, event: EventSection) -> list[tuple[str, float]]:
        delay_s = event.delay.total_seconds()
        told = [(f"{event.hop} slowed by {delay_s * 1000:g} ms", time.monotonic())]
        relays = self._relays[event.hop]
        for relay in relays:
            relay.delay_s = delay_s
        try:
            await asyncio.sleep(event.lasting.total_seconds())
        finally:
            for relay in relays:
                relay.delay_s = 0.0
        return [*told, (f"{event.hop} as before", time.monotonic())]


def find_example(folder: Path) -> Path:
    """Returns an example's folder, looked for in the working directory and in the project."""
    for place in (folder, PROJECT / folder):
        if (place / "example.yaml").is_file():
            return place
    raise LoadError(f"there is no example in {folder}", "a folder with an example.yaml is one")


async def prepared_example(folder: Path, steps: Steps) -> PreparedExample:
    """Prepares an example's rows, for a mesh that somebody else started.

    Args:
        folder: the example, as `find_example` takes it.
        steps: shows what is done.

    Raises:
        LoadError: there is none.
        LaunchError: it cannot be prepared.
    """
    cache = load_settings(LauncherSettings).state_dir.absolute() / "prepared"
    async with steps.shown():
        return await prepare(load_example(find_example(folder)), cache, steps)


@contextlib.asynccontextmanager
async def running_mesh(
    section: MeshSection,
    steps: Steps,
    *,
    submissions: bool,
    slow_hops: Sequence[str] = (),
    replicas: Mapping[str, int] | None = None,
    workers: int | None = None,
) -> AsyncIterator[ScenarioMesh]:
    """Runs a mesh of its own inside the block.

    Args:
        section: how.
        steps: where to show what goes on.
        submissions: whether it takes submissions, where `section` does not say.
        slow_hops: see `ScenarioMesh`.
        replicas: in place of the section's.
        workers: in place of the section's.

    Raises:
        LoadError: there is no such example.
        LaunchError: something does not start.
    """
    settings = load_settings(LauncherSettings)
    state_dir = settings.state_dir
    example = load_example(find_example(section.example))
    options = MeshOptions(
        inference_backend=section.inference_backend or settings.inference_backend,
        placement=section.placement,
        workers=workers or section.workers,
        replicas=section.replicas if replicas is None else replicas,
        redis_server_path=settings.redis_server_path,
        triton_server_path=settings.triton_server_path,
        submissions=submissions if section.submissions is None else section.submissions,
        queue_durability=section.queue_durability,
        cache_dir=state_dir.absolute() / "cache",
        transport=settings,
    )
    folder = MeshFolder(state_dir, f"load-{os.getpid()}")
    try:
        with folder.claimed():
            async with steps.shown():
                prepared = await prepare(example, state_dir.absolute() / "prepared", steps)
                mesh = ScenarioMesh(folder, prepared, options, steps, slow_hops)
            try:
                async with steps.shown():
                    await mesh.start()
                yield mesh
            finally:
                await mesh.stop()
    except (LoadError, asyncio.CancelledError):
        # No process of the mesh is at fault, so nobody has a use for its logs.
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
