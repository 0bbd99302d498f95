"""Runs a load test: what `tailrace load`, scenarios and plans have in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from tailrace.loadtest.engine.crew import Crew
from tailrace.loadtest.engine.details_files import DetailsFiles
from tailrace.loadtest.engine.generator_limit import generator_limit
from tailrace.loadtest.engine.lost_load import lost_process
from tailrace.loadtest.engine.share import process_count
from tailrace.loadtest.measure.run_result import EndReason, RunResult
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.method.resolve import resolve_method
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.source import make_source

# Called some times a second, with what all processes recorded so far and the seconds since the
# start.
OnProgress = Callable[[Tally, float], None]

_PROGRESS_S = 0.25
# From the order to begin until the common start: all processes have heard it by then.
_HEADWAY_NS = 20_000_000


async def run_load(
    options: LoadOptions,
    on_progress: OnProgress | None = None,
    until_begin: Callable[[], Awaitable[None]] | None = None,
) -> RunResult:
    """Makes the load in processes of its own, and waits for its end.

    If one of them is killed, or crashes, the others go on; the result has what all of them told,
    `EndReason.LOST`, and who was lost.

    Cancelled (as by Ctrl-C), it ends the load early and returns what it came to so far, with
    `EndReason.CANCEL`. Cancelled once more, or before the first call, it ends at once, without a
    result. In no case is a process left.

    Args:
        options: what to do. Its report and its verdicts are the caller's to make.
        on_progress: told how it goes.
        until_begin: awaited once all processes are connected; the load begins when it returns.

    Raises:
        LoadError: the target, the method, or the data is not what the options say; nothing was
            called, but for a template whose later calls are at fault. Or all processes that make
            load have ended before they told anything.
    """
    with DetailsFiles(options, process_count(options)) as details:
        async with Crew(details.parts) as crew:
            method = await asyncio.to_thread(_method, options)
            await crew.connect(options, method)
            if until_begin is not None:
                await until_begin()
            date, start_ns = datetime.now(UTC).astimezone(), time.monotonic_ns() + _HEADWAY_NS
            crew.start(start_ns)
            cancelled_ns = await _finished(crew, on_progress, start_ns)
            whole, parts = crew.whole, crew.parts
            # The first interval of a rate is part of the time that its calls took.
            begun_ns = (options.skip_first and whole.first_ns) or start_ns
            return RunResult(
                options=options,
                date=date,
                end_reason=_end_reason(crew, cancelled=bool(cancelled_ns)),
                duration_ns=max(whole.last_ns - begun_ns, 0),
                tally=whole,
                processes=parts,
                limit=generator_limit(options, whole, parts, start_ns),
                details=details.whole(),
                server_streaming=method.server_streaming,
                client_streaming=method.client_streaming,
                lost=[
                    lost_process(options, loss, parts, start_ns, cancelled_ns - start_ns)
                    for loss in crew.losses
                ],
            )


def _method(options: LoadOptions) -> MethodSpec:
    """Returns what is called, once there is something right to send to it."""
    method = resolve_method(options)
    make_source(options, method, check=True)
    return method


async def _finished(crew: Crew, on_progress: OnProgress | None, start_ns: int) -> int:
    """Waits until all processes have ended their load; returns when it was cancelled, else 0."""
    cancelled_ns = 0
    telling = asyncio.create_task(_tell(crew, on_progress, start_ns))
    finishing = asyncio.create_task(crew.finish())
    try:
        try:
            await asyncio.shield(finishing)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            cancelled_ns = time.monotonic_ns()
            crew.stop()
            await finishing
        if telling.done():
            # Whoever is told how it goes may have failed at it.
            telling.result()
    finally:
        telling.cancel()
        finishing.cancel()
    return cancelled_ns


async def _tell(crew: Crew, on_progress: OnProgress | None, start_ns: int) -> None:
    while on_progress is not None:
        await asyncio.sleep(_PROGRESS_S)
        seconds = (time.monotonic_ns() - start_ns) / 1e9
        if seconds > 0:
            on_progress(crew.whole, seconds)


def _end_reason(crew: Crew, *, cancelled: bool) -> EndReason:
    if cancelled:
        return EndReason.CANCEL
    if crew.losses:
        return EndReason.LOST
    return EndReason.TIMEOUT if crew.timed_out else EndReason.NORMAL
