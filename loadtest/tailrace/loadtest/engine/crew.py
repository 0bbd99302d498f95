"""All processes of a run together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

from tailrace.loadtest.engine.load_process import LoadProcess
from tailrace.loadtest.engine.messages import Done, Order, Progress, Ready, Start, Stop
from tailrace.loadtest.engine.share import Share
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.measure.time_slices import TimeSlices
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions


class Crew:
    """The processes of a run; none is left once the context is.

    Attributes:
        whole: what all recorded so far.
        parts: what each did; by time, only the whole is kept if there are several.
        timed_out: True if time ended the load of one of them.
    """

    def __init__(self, count: int) -> None:
        """Plans so many processes."""
        self.parts = [Tally() for _ in range(count)]
        # The same thing need not be kept twice.
        self.whole = self.parts[0] if count == 1 else Tally()
        self.timed_out = False
        self._processes: list[LoadProcess] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Crew:
        count = len(self.parts)
        try:
            for number in range(1, count + 1):
                process = await LoadProcess.start(f"load process {number} of {count}")
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

    async def connect(
        self, options: LoadOptions, method: MethodSpec, details: list[Path | None]
    ) -> None:
        """Gives all their orders, and waits until all are connected.

        Args:
            options: of the run.
            method: the method to call.
            details: for each the file that it writes a record per call to; None for none.

        Raises:
            LoadError: what one of them found wrong.
        """
        count = len(self._processes)
        # Without the descriptors that it may hold by now: they stay in their process.
        bare = MethodSpec(method.service, method.name, method.files)
        for number, process in enumerate(self._processes):
            order = Order(options, bare, Share(number, count), details[number])
            process.tell(order)
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

        Raises:
            LoadError: what one of them found wrong.
        """
        pairs = zip(self._processes, self.parts, strict=True)
        await _all([self._heard(process, part) for process, part in pairs])

    async def _connected(self, process: LoadProcess) -> None:
        message = await process.receive()
        assert isinstance(message, Ready)

    async def _heard(self, process: LoadProcess, part: Tally) -> None:
        while True:
            message = await process.receive()
            assert isinstance(message, Progress | Done)
            if part is not self.whole:
                self.whole.merge(message.tally)
                message.tally.slices = TimeSlices()
            part.merge(message.tally)
            if isinstance(message, Done):
                self.timed_out |= message.timed_out
                return


async def _all(works: Sequence[Coroutine[None, None, None]]) -> None:
    """Does all at once; the first error ends the others, and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
