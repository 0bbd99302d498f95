"""All processes of a run together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType

from tailrace.loadtest.engine.load_process import EndedProcess, LoadProcess
from tailrace.loadtest.engine.messages import Done, Order, Progress, Ready, Start, Stop
from tailrace.loadtest.engine.share import Share
from tailrace.loadtest.measure.details import DetailsPart
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.measure.time_slices import TimeSlices
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions


@dataclass(frozen=True, slots=True)
class Loss:
    """A process that ended before its part of the load was over.

    Attributes:
        place: which, from 0.
        error: how it ended.
        at_ns: when, on the monotonic clock.
    """

    place: int
    error: EndedProcess
    at_ns: int


class Crew:
    """The processes of a run; none is left once the context is.

    Attributes:
        whole: what all recorded so far.
        parts: what each did; by time, only the whole is kept if there are several.
        timed_out: True if time ended the load of one of them.
        losses: those that ended too early, in order of time.
    """

    def __init__(self, details: Sequence[DetailsPart | None]) -> None:
        """Plans processes.

        Args:
            details: for each the file that it writes a record per call to; None for none.
        """
        count = len(details)
        self.parts = [Tally() for _ in details]
        # The same thing need not be kept twice.
        self.whole = self.parts[0] if count == 1 else Tally()
        self.timed_out = False
        self.losses: list[Loss] = []
        self._details = details
        self._processes: list[LoadProcess] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Crew:
        count = len(self.parts)
        try:
            for number, descriptor in enumerate(self._descriptors(), start=1):
                inherited = () if descriptor is None else (descriptor,)
                process = await LoadProcess.start(f"load process {number} of {count}", inherited)
                self._stack.push_async_callback(process.close)
                self._processes.append(process)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def connect(self, options: LoadOptions, method: MethodSpec) -> None:
        """Gives all their orders, and waits until all are connected.

        Args:
            options: of the run.
            method: the method to call.

        Raises:
            LoadError: what one of them found wrong, or that it has ended.
        """
        count = len(self._processes)
        # Without the descriptors that it may hold by now: they stay in their process.
        bare = MethodSpec(method.service, method.name, method.files)
        pairs = zip(self._processes, self._descriptors(), strict=True)
        for number, (process, descriptor) in enumerate(pairs):
            process.tell(Order(options, bare, Share(number, count), descriptor))
        await _all([self._connected(process) for process in self._processes])

    def start(self, start_ns: int) -> None:
        """Has all begin at an instant of the monotonic clock, in nanoseconds."""
        for process in self._processes:
            process.tell(Start(start_ns))

    def stop(self) -> None:
        """Has all end their load now."""
        for process in self._processes:
            process.tell(Stop())

    async def finish(self) -> None:
        """Waits for the end of all, and adds up what they tell.

        If one of them ends before its part of the load is over, the others go on.

        Raises:
            LoadError: what one of them found wrong, or that all have ended with nothing told.
        """
        await _all([self._heard(place) for place in range(len(self._processes))])
        if len(self.losses) == len(self._processes) and not self.whole.wall_ns:
            raise self.losses[0].error

    async def _connected(self, process: LoadProcess) -> None:
        message = await process.receive()
        assert isinstance(message, Ready)

    async def _heard(self, place: int) -> None:
        process, part, details = self._processes[place], self.parts[place], self._details[place]
        while True:
            try:
                message = await process.receive()
            except EndedProcess as error:
                self._lose(Loss(place, error, time.monotonic_ns()))
                return
            assert isinstance(message, Progress | Done)
            if details is not None and message.listed is not None:
                details.told(message.listed)
            if part is not self.whole:
                self.whole.merge(message.tally)
                message.tally.slices = TimeSlices()
            part.merge(message.tally)
            if isinstance(message, Done):
                self.timed_out |= message.timed_out
                return

    def _lose(self, loss: Loss) -> None:
        self.losses.append(loss)
        part = self.parts[loss.place]
        part.lost, part.unknown = 1, part.started - part.ended - part.skipped
        if part is not self.whole:
            self.whole.lost += part.lost
            self.whole.unknown += part.unknown

    def _descriptors(self) -> list[int | None]:
        return [None if each is None else each.file.fileno() for each in self._details]


async def _all(works: Sequence[Coroutine[None, None, None]]) -> None:
    """Does all at once; the first error ends the others, and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
