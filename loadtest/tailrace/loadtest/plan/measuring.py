"""Measures what a deployment uses at a rate, while the rate lasts."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.run_result import EndReason, RunResult
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.plan.point import Point
from tailrace.loadtest.plan.scrape import Deployment, Reading, between
from tailrace.loadtest.run import run_load

# What the first calls cost is not what the others do.
_RAMP_SHARE = 0.2


class Meter:
    """Makes a load at one rate after the other, and reads what each of them cost.

    Attributes:
        points: what was measured, in order; `held` is for the caller to say.
    """

    def __init__(
        self, options: LoadOptions, deployment: Deployment, *, shared: bool, seconds: float
    ) -> None:
        """Keeps the parts.

        Args:
            options: what is called; its rate is set anew each time.
            deployment: what is called, from its inside.
            shared: whether it runs on this machine, and so beside the generator.
            seconds: how long each rate lasts.
        """
        self.points: list[Point] = []
        self._options = options
        self._deployment = deployment
        self._shared = shared
        self._seconds = seconds

    async def at(self, rate: float) -> RunResult:
        """Makes the load at a rate, and adds a point.

        Raises:
            CancelledError: it was interrupted.
            LoadError: the load cannot be made, or the deployment cannot be read.
        """
        began = asyncio.Event()
        options = replace(self._options, rps=rate, async_=True, duration=self._seconds, total=0)
        load = asyncio.create_task(run_load(options, lambda tally, seconds: began.set()))
        try:
            await _either(began, load)
            # From here on the time is what is measured: not waited for anything.
            await asyncio.sleep(self._seconds * _RAMP_SHARE)
            before = await self._deployment.read()
            await asyncio.sleep(self._seconds * (1 - 2 * _RAMP_SHARE))
            after = await self._deployment.read()
            result = await load
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        if result.end_reason is EndReason.CANCEL:
            raise asyncio.CancelledError
        if result.lost:
            raise LoadError(result.lost[0].text, "nothing can be planned with a part of a load")
        self.points.append(self._point(before, after, result))
        return result

    def _point(self, before: Reading, after: Reading, result: RunResult) -> Point:
        seconds = after.at - before.at
        predictions = after.predictions - before.predictions
        used = between(before.cpu_s, after.cpu_s)
        hop_s, passages = (
            between(before.hop_s, after.hop_s),
            between(before.hop_count, after.hop_count),
        )
        convoys = after.convoys - before.convoys
        tally = result.tally
        return Point(
            # Without a gateway among what is read, what callers saw has to do.
            rate=predictions / seconds if predictions else result.rps,
            cores={name: cpu / seconds for name, cpu in used.items()},
            processes=dict(after.processes),
            p99_ns=tally.corrected.percentile(99),
            generator=tally.cpu_ns / tally.wall_ns * len(result.processes) if tally.wall_ns else 0,
            machine=(after.machine_s - before.machine_s) / seconds if self._shared else 0.0,
            machine_cores=(os.cpu_count() or 1) if self._shared else 0,
            convoy_rows=(after.convoy_rows - before.convoy_rows) / convoys if convoys else 0.0,
            hop_ms={hop: hop_s[hop] / count * 1e3 for hop, count in passages.items() if count},
        )


async def _either(began: asyncio.Event, load: asyncio.Task[RunResult]) -> None:
    """Returns once the load has begun. Raises what the load raises before."""
    waiting = asyncio.create_task(began.wait())
    try:
        await asyncio.wait([waiting, load], return_when=asyncio.FIRST_COMPLETED)
        if load.done():
            load.result()
    finally:
        waiting.cancel()
