"""Runs one scenario from its first call to its last: loads, and what happens meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.run_result import EndReason, RunResult
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.run import run_load
from tailrace.loadtest.scenario.answer_readers import Acknowledged
from tailrace.loadtest.scenario.course import Course, short_text, step_text
from tailrace.loadtest.scenario.knee import Bounds, Knee, find_knee
from tailrace.loadtest.scenario.load_section import LoadKind, LoadSection
from tailrace.loadtest.scenario.machine_use import MachineWatch
from tailrace.loadtest.scenario.mesh_section import EventSection
from tailrace.loadtest.scenario.place import Place
from tailrace.loadtest.scenario.receiver_process import (
    ReceiverProcess,
    account,
    running_receiver,
)
from tailrace.loadtest.scenario.scenario_file import Scenario
from tailrace.loadtest.scenario.slo_objectives import PipelineSlo, pipeline_slo
from tailrace.loadtest.scenario.start_line import StartLine

Tell = Callable[[str], None]
_WARM_CALLERS = 16


class ScenarioRun:
    """Runs one scenario at one place."""

    def __init__(self, scenario: Scenario, place: Place, tell: Tell) -> None:
        """Keeps the parts.

        Args:
            scenario: what to do.
            place: where.
            tell: told what goes on, a line at a time.
        """
        self._scenario = scenario
        self._place = place
        self._tell = tell
        self._course = Course(time.monotonic())
        starts = [] if scenario.search else [load.start.total_seconds() for load in scenario.loads]
        self._line = StartLine(starts)

    async def run(self) -> Course:
        """Returns what it came to; cancelled, what it came to so far.

        Raises:
            LoadError: a load cannot be made.
            LaunchError: a process that was killed does not start again.
        """
        async with contextlib.AsyncExitStack() as stack:
            receiver, callback = None, ""
            if self._scenario.counted:
                callback = f"load-{os.getpid()}"
                opened = running_receiver(self._place.gateway, self._place.tls, callback)
                receiver = await stack.enter_async_context(opened)
            options = {
                load.name: self._place.options(load, callback) for load in self._scenario.loads
            }
            await self._warm(options)
            await stack.enter_async_context(self._watching())
            watch = self._machine_watch()
            self._line.began = time.monotonic()
            await self._go(options)
            self._course.began = self._line.began
            if watch is not None:
                knee = self._course.knee
                results = [step.result for step in knee.steps] if knee else []
                self._course.machine = watch.use(results or self._course.results.values())
            if receiver is not None and not self._course.interrupted:
                await self._count(receiver)
        if self._place.mesh is not None:
            self._course.ended = self._place.mesh.unexpected_ends()
        return self._course

    async def _go(self, options: dict[str, LoadOptions]) -> None:
        search = self._scenario.search
        if search is not None:
            load = self._scenario.load(search.load)
            works: list[Coroutine[Any, Any, None]] = [self._search(load, options[load.name])]
        else:
            works = [self._load(load, options[load.name]) for load in self._scenario.loads]
        works += [self._event(event) for event in self._scenario.events]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            self._course.interrupted = True
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        order = [load.name for load in self._scenario.loads]
        results = self._course.results
        self._course.results = {name: results[name] for name in order if name in results}
        self._course.happened.sort(key=lambda each: each[1])

    async def _load(self, load: LoadSection, options: LoadOptions) -> None:
        start = load.start.total_seconds()
        rate = f" {load.rps:g}/s" if load.rps else f" {load.concurrency} callers"
        length = f"{options.duration:g} s" if options.duration else f"{options.total:,} calls"

        async def until_begin() -> None:
            await self._line.until_begin(start)
            self._tell(f"{load.name}:{rate} for {length}")

        await self._line.until_prepared(start)
        try:
            result = await run_load(
                options, lambda tally, seconds: self._line.note_begin(seconds), until_begin
            )
        finally:
            self._line.note_over()
        self._course.results[load.name] = result
        self._tell(f"{load.name}: {short_text(result)}")

    async def _event(self, event: EventSection) -> None:
        await self._line.until(event.at.total_seconds())
        mesh = self._place.mesh
        assert mesh is not None
        object_name = event.process or event.hop
        self._tell(f"{event.what} {object_name} for {event.lasting.total_seconds():g} s")
        for text, when in await mesh.apply(event):
            self._course.happened.append((text, when - self._line.began))

    async def _search(self, load: LoadSection, options: LoadOptions) -> None:
        search = self._scenario.search
        assert search is not None
        slo = self.slo_of(load)
        p99_ns = search.p99.total_seconds() * 1e9 if search.p99 else slo.p99_ns if slo else 0
        if not p99_ns:
            raise LoadError(
                f"no p99 is known that {load.name} has to keep",
                "say it: p99 in [search], --p99, or a latency objective in the pipeline's slo",
            )

        async def measure(rate: float) -> RunResult:
            at_rate = replace(options, rps=rate, async_=True, total=0)
            result = await run_load(replace(at_rate, duration=search.step.total_seconds()))
            if result.end_reason is EndReason.CANCEL:
                raise asyncio.CancelledError
            return result

        self._course.knee = knee = Knee(Bounds(p99_ns, search.errors / 100))
        try:
            await find_knee(
                measure,
                knee,
                start=search.start,
                factor=search.factor,
                narrow=search.narrow,
                max_rps=search.max_rps,
                tell=lambda step: self._tell(step_text(step)),
            )
        finally:
            if knee.steps:
                last = knee.held or knee.steps[-1]
                self._course.results[load.name] = last.result

    async def _warm(self, options: dict[str, LoadOptions]) -> None:
        seconds = self._scenario.mesh.warm_up.total_seconds()
        if self._place.mesh is None or not seconds:
            return
        warmed = set()
        for load in self._scenario.loads:
            if load.kind is LoadKind.PREDICT and load.pipeline not in warmed:
                warmed.add(load.pipeline)
                self._tell(f"warming up with {load.pipeline}, {seconds:g} s")
                warm = replace(
                    options[load.name],
                    rps=0.0,
                    async_=False,
                    concurrency=_WARM_CALLERS,
                    duration=seconds,
                    total=0,
                )
                result = await run_load(warm)
                if result.end_reason is EndReason.CANCEL:
                    raise asyncio.CancelledError

    async def _count(self, receiver: ReceiverProcess) -> None:
        ids: list[str] = []
        unknown = 0
        for load in self._scenario.counted:
            tally = self._course.results[load.name].tally
            unknown += tally.failed
            if isinstance(tally.answers, Acknowledged):
                ids += tally.answers.ids
        within_s = self._scenario.verdict.delivered_within.total_seconds()
        self._tell(f"waiting for the results of {len(ids):,} submissions")
        self._course.deliveries = await receiver.wait_for(ids, within_s)
        self._course.account = account(ids, self._course.deliveries, unknown)

    @contextlib.asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        mesh, verdict = self._place.mesh, self._scenario.verdict
        watches = []
        if mesh is not None and verdict.memory_growth is not None:
            watches.append(self._course.memory.watch(mesh.usage()))
        if mesh is not None and (verdict.drift is not None or verdict.recovery):
            watches.append(self._course.pace.watch(mesh.usage(without=self._mortal)))
        tasks = [asyncio.create_task(watch) for watch in watches]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def _machine_watch(self) -> MachineWatch | None:
        mesh = self._place.mesh
        if mesh is None:
            return None
        return MachineWatch(mesh.usage(without=self._mortal))

    @property
    def _mortal(self) -> set[str]:
        return {event.process for event in self._scenario.events if event.process}

    def slo_of(self, load: LoadSection) -> PipelineSlo | None:
        """Returns what the load's pipeline promises; None if that is nothing, or not known."""
        pipeline = self._place.pipelines.get(load.pipeline)
        return pipeline_slo(pipeline.spec.slo) if pipeline else None
