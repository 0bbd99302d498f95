"""`tailrace load scenario`: several loads, what happens meanwhile, and a verdict at the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tailrace.cli.local.errors import LaunchError
from tailrace.cli.progress import Steps
from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.exit_status import FAILED, GOOD, INTERRUPTED
from tailrace.loadtest.options.written_file import written_file
from tailrace.loadtest.scenario.arguments import Arguments, parse_arguments
from tailrace.loadtest.scenario.judgement import Judge
from tailrace.loadtest.scenario.load_section import LoadKind
from tailrace.loadtest.scenario.outcome_report import write_files, write_text
from tailrace.loadtest.scenario.place import Place, needs_rows, read_pipelines
from tailrace.loadtest.scenario.request_files import RowFiles
from tailrace.loadtest.scenario.scenario_mesh import ScenarioMesh, prepared_example, running_mesh
from tailrace.loadtest.scenario.scenario_run import ScenarioRun
from tailrace.runtime.config import LauncherSettings, SettingsError, load_settings


def main(argv: Sequence[str]) -> int:
    """Runs the command, and returns its exit status.

    Args:
        argv: arguments behind `tailrace load scenario`.

    Returns:
        0 if the verdict is good, 1 if not, 130 if it was interrupted.

    Raises:
        LoadError: it cannot be done as asked for; status 2.
    """
    arguments = parse_arguments(argv)
    if arguments is None:
        return GOOD
    return run_until_signalled(lambda meshes: _run(arguments, meshes))


def run_until_signalled(work: Callable[[list[ScenarioMesh]], Coroutine[Any, Any, int]]) -> int:
    """Returns the status that work ends with; 130 if a signal ended it before it had one.

    The first SIGINT or SIGTERM cancels it, the second kills its meshes.

    Args:
        work: given a list to which it adds the meshes that it starts.

    Raises:
        LoadError: it cannot be done; also where a process could not be started.
    """
    meshes: list[ScenarioMesh] = []

    async def guarded() -> int:
        task = asyncio.ensure_future(work(meshes))
        told = asyncio.Event()

        def signalled() -> None:
            if told.is_set():
                for mesh in meshes:
                    mesh.kill()
            told.set()
            task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, signalled)
        try:
            return await task
        except asyncio.CancelledError:
            print("interrupted: there is nothing to tell yet", file=sys.stderr)
            return INTERRUPTED

    try:
        # Not uvloop: it forks, which gRPC's threads do not survive, where asyncio spawns.
        return asyncio.run(guarded())
    except (LaunchError, SettingsError) as error:
        raise LoadError(str(error), "`tailrace up` starts the same mesh, and tells more") from error


async def _run(arguments: Arguments, meshes: list[ScenarioMesh]) -> int:
    console = Console(stderr=True)
    scenario = arguments.scenario

    def tell(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    tell(f"scenario {arguments.name}: {scenario.description}")
    async with _place(arguments, Steps(console), meshes) as place:
        judge = Judge(scenario, place.pipelines)
        course = await ScenarioRun(scenario, place, tell).run()
    judgement = judge.judge(course)
    with written_file(None) as out:
        write_text(arguments.name, course, judgement, out)
    write_files(arguments.name, course, judgement, arguments.json_file, arguments.html_folder)
    if course.interrupted:
        return INTERRUPTED
    return GOOD if judgement.passed else FAILED


@contextlib.asynccontextmanager
async def _place(
    arguments: Arguments, steps: Steps, meshes: list[ScenarioMesh]
) -> AsyncIterator[Place]:
    settings = load_settings(LauncherSettings)
    section = arguments.scenario.mesh
    loads = arguments.scenario.loads
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-load-")))
        mesh = None
        if arguments.target:
            gateway, events = arguments.target, arguments.events_target
            prepared = None
            if needs_rows(loads):
                prepared = await prepared_example(section.example, steps)
        else:
            submits = bool(arguments.scenario.of_kind(LoadKind.SUBMIT))
            slow = [event.hop for event in arguments.scenario.events if event.hop]
            mesh = await stack.enter_async_context(
                running_mesh(section, steps, submissions=submits, slow_hops=slow)
            )
            meshes.append(mesh)
            for event in arguments.scenario.events:
                if event.process:
                    mesh.process_named(event.process)
            prepared = mesh.prepared
            gateway = mesh.gateway_target
            processes = mesh.mesh_processes
            events = processes["events"].target if "events" in processes else ""
        served = read_pipelines(prepared.example.pipelines_dir) if prepared else {}
        known = read_pipelines(arguments.pipelines) if arguments.pipelines else {}
        rows = RowFiles(prepared, served, folder) if prepared and needs_rows(loads) else None
        place = Place(
            gateway=gateway,
            events=events,
            mesh=mesh,
            pipelines=known if arguments.target or arguments.pipelines else served,
            rows=rows,
            folder=folder,
            transport=settings,
        )
        if mesh is not None:
            with steps.step("Sending the events that the rows need") as step:
                step.tell(f"{await place.feed_events():,} events")
        yield place
