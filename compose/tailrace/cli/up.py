"""`tailrace up`: a whole mesh on this machine, tried with real rows if there are any."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tailrace.cli.client_tls import client_tls
from tailrace.cli.event_feed import EventFeed, EventsRefused
from tailrace.cli.example import (
    MANIFEST,
    Example,
    ExampleInvalid,
    HeldOutSection,
    load_example,
)
from tailrace.cli.figures import read_figures
from tailrace.cli.first_done import first_done
from tailrace.cli.held_out import HeldOutRow, read_held_out, read_stretch, spread
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.local.state import MeshState, write_state
from tailrace.cli.local_mesh import LocalMesh
from tailrace.cli.mesh_folder import MeshFolder
from tailrace.cli.mesh_options import MeshOptions
from tailrace.cli.preparation import PreparedExample, prepare
from tailrace.cli.progress import Steps
from tailrace.cli.push_trial import PushFailed, PushTrial, try_pushing
from tailrace.cli.replay import Replay, read_replay
from tailrace.cli.summary import (
    print_endpoints,
    print_outcomes,
    print_pushes,
    print_trial,
    run_summary,
)
from tailrace.cli.trial import TrialFailed, try_mesh
from tailrace.cli.trial_result import Trial
from tailrace.client import AsyncClient, AsyncEventClient, Tls
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.plan import Pipeline

INTERRUPTED = 130
_SHOWN_OUTCOMES = 3


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What `tailrace up` was asked for.

    Attributes:
        example_dir: folder with the example's manifest.
        name: name of the mesh.
        state_dir: where state files, logs and caches go.
        once: end after the trial, or once the mesh is up where there is none.
        json_file: where to write the summary.
        predictions: how many held-out rows to try.
        mesh: how to run the mesh.
    """

    example_dir: Path
    name: str
    state_dir: Path
    once: bool
    json_file: Path | None
    predictions: int
    mesh: MeshOptions


async def run_up(options: UpOptions, console: Console) -> int:
    """Brings the mesh up, tries it, and keeps it up until it is told to stop.

    Returns:
        0 after a good run, 130 if it was interrupted before the mesh was up.

    Raises:
        LaunchError: if something does not start, does not answer as it should, or ends.
    """
    example = load_example(options.example_dir)
    folder = MeshFolder(options.state_dir, options.name)
    with folder.claimed():
        run = _Run(options, example, folder, console)
        with _signals(run):
            try:
                await first_done(run.bring_up(), run.watch(), run.interrupted.wait())
                if run.is_up and not options.once:
                    await first_done(run.watch(), run.interrupted.wait())
            finally:
                await run.end()
    return 0 if run.is_up else INTERRUPTED


class _Run:
    """One run of `tailrace up`."""

    def __init__(
        self, options: UpOptions, example: Example, folder: MeshFolder, console: Console
    ) -> None:
        self.interrupted = asyncio.Event()
        self.is_up = False
        self._options = options
        self._example = example
        self._folder = folder
        self._console = console
        self._steps = Steps(console)
        self._mesh: LocalMesh | None = None
        self._pipelines: Mapping[str, Pipeline] = {}
        self._has_mesh = asyncio.Event()

    async def bring_up(self) -> None:
        """Returns once the mesh is up, and tried if there are rows to try it with."""
        began = time.monotonic()
        held_out = self._example.manifest.held_out
        pipelines = _pipelines(self._example)
        async with self._steps.shown():
            cache_dir = self._options.state_dir.absolute() / "prepared"
            prepared = await prepare(self._example, cache_dir, self._steps)
            replay = Replay((), ())
            figures: Mapping[str, str] = {}
            if held_out:
                fields = set(pipelines[held_out.pipeline].spec.request.fields)
                replay = await asyncio.to_thread(self._read_rows, prepared, held_out, fields)
                figures = read_figures(prepared.folder, held_out)
            self._mesh = LocalMesh(self._folder, prepared, self._options.mesh, self._steps)
            self._has_mesh.set()
            await self._mesh.start()
            ready_s = time.monotonic() - began
            self._pipelines = pipelines
            state = self._write_state(self._mesh)
            trial = await self._try(self._mesh, held_out, replay) if held_out else None
            pushes: Sequence[PushTrial] = ()
            if held_out and self._options.mesh.submissions:
                pushes = await self._push(self._mesh, held_out, replay.rows[-1])
        if held_out and trial:
            shown = spread(trial.measured, _SHOWN_OUTCOMES)
            print_outcomes(self._console, shown, held_out.label)
            print_trial(self._console, trial, figures)
        if pushes:
            print_pushes(self._console, pushes)
        print_endpoints(self._console, state)
        if self._options.json_file:
            summary = run_summary(state, prepared, trial, pushes, ready_s, figures)
            self._options.json_file.write_text(json.dumps(summary, indent=2) + "\n")
        self.is_up = True
        if not self._options.once:
            self._console.print(
                f"\n[bold]Up[/] after {time.monotonic() - began:.1f} s, gateway at "
                f"[bold]{self._mesh.gateway_target}[/]. Ctrl-C stops everything.",
                highlight=False,
            )

    async def _try(self, mesh: LocalMesh, held_out: HeldOutSection, replay: Replay) -> Trial:
        asked = held_out.pipeline, replay.rows, held_out.score
        with self._steps.step(f"Predicting held-out rows of {held_out.pipeline}") as step:
            async with contextlib.AsyncExitStack() as clients:
                client = await clients.enter_async_context(
                    AsyncClient(mesh.gateway_target, tls=self._tls())
                )
                feed = await self._feed(mesh, replay, clients)
                try:
                    return await try_mesh(client, *asked, step, feed)
                except (TrialFailed, EventsRefused) as error:
                    raise self._with_logs(error) from error

    async def _feed(
        self, mesh: LocalMesh, replay: Replay, clients: contextlib.AsyncExitStack
    ) -> EventFeed | None:
        if not replay.events:
            return None
        target = mesh.mesh_processes["events"].target
        client = await clients.enter_async_context(AsyncEventClient(target, tls=self._tls()))
        return EventFeed(client, replay.events)

    async def _push(
        self, mesh: LocalMesh, held_out: HeldOutSection, row: HeldOutRow
    ) -> Sequence[PushTrial]:
        with self._steps.step("Submitting, to be called back") as step:
            async with AsyncClient(mesh.gateway_target, tls=self._tls()) as client:
                try:
                    return await try_pushing(client, held_out.pipeline, row.fields, step)
                except PushFailed as error:
                    raise self._with_logs(error) from error

    def _with_logs(self, error: LaunchError) -> LaunchError:
        return LaunchError(f"{error}\nThe logs say more: {self._folder.path}/*.log")

    def _tls(self) -> Tls | None:
        return client_tls(self._options.mesh.transport)

    async def watch(self) -> None:
        """Raises ProcessExited as soon as a process of the mesh has ended."""
        await self._has_mesh.wait()
        mesh = self._mesh
        assert mesh
        await mesh.watch(lambda: self._update_state(mesh))

    def _write_state(self, mesh: LocalMesh) -> MeshState:
        state = mesh.state(self._pipelines)
        write_state(self._folder.state_path, state)
        return state

    def _update_state(self, mesh: LocalMesh) -> None:
        # Before the mesh is up there is none to update.
        if self._folder.state_path.exists():
            self._write_state(mesh)

    def interrupt(self) -> None:
        """Ends the run; a second time, at once."""
        if self.interrupted.is_set() and self._mesh:
            self._mesh.kill()
        self.interrupted.set()

    async def end(self) -> None:
        """Leaves no process behind."""
        if self._mesh:
            async with self._steps.shown():
                await self._mesh.stop()

    def _read_rows(
        self, prepared: PreparedExample, held_out: HeldOutSection, fields: set[str]
    ) -> Replay:
        section = held_out.replay
        path = "held_out.replay.file" if section else "held_out.file"
        file = prepared.folder / (section or held_out).file
        if not file.is_file():
            raise _invalid(self._example, f"{path}: there is no file {file}")
        count = self._options.predictions
        if section is None:
            return Replay(read_held_out(file, held_out, fields, count), ())
        rows = read_stretch(file, held_out, fields)
        return read_replay(prepared.folder, section, rows, count)


def _pipelines(example: Example) -> Mapping[str, Pipeline]:
    content = load_directory(example.pipelines_dir)
    if content.errors:
        raise LaunchError("\n".join(str(error) for error in content.errors.values()))
    if not content.pipelines:
        raise _invalid(example, f"pipelines: there is no pipeline file in {example.pipelines_dir}")
    held_out = example.manifest.held_out
    if held_out and held_out.pipeline not in content.pipelines:
        found = ", ".join(content.pipelines)
        raise _invalid(
            example,
            f"held_out.pipeline: there is no pipeline {held_out.pipeline!r} (found: {found})",
        )
    return content.pipelines


def _invalid(example: Example, problem: str) -> ExampleInvalid:
    return ExampleInvalid(example.folder / MANIFEST, [problem])


@contextlib.contextmanager
def _signals(run: _Run) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, run.interrupt)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def default_name(once: bool) -> str:
    """Returns the name of a mesh that was given none: several single runs may go on at once."""
    return f"once-{os.getpid()}" if once else "default"
