"""Composition root of the dispatcher."""

from __future__ import annotations

import asyncio

from tailrace.dispatcher.claimed_batch import BatchParts
from tailrace.dispatcher.control import InFlightControl
from tailrace.dispatcher.dispatcher import Dispatcher
from tailrace.dispatcher.result_writer import ResultWriter
from tailrace.dispatcher.run_spans import RunSpans
from tailrace.dispatcher.suspects import Suspects
from tailrace.dispatcher.upkeep import count_queue, keep_leases, sweep
from tailrace.dispatcher.verdicts import Verdicts
from tailrace.gateway.outcome_account import OutcomeAccount
from tailrace.gateway.served_chains import ServedChains
from tailrace.runtime.config import DispatcherSettings
from tailrace.runtime.deadline import NS_PER_MS
from tailrace.runtime.server import GrpcServer
from tailrace.runtime.service_process import run_service
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.submissions.open_queue import Queue, open_queue
from tailrace.v1 import batch_pb2

HEALTH_EVERY_S = 0.2


async def run(settings: DispatcherSettings) -> None:
    """Runs submissions until SIGTERM or SIGINT.

    Raises:
        StartError: a port is in use, a hop that is placed here cannot be built, or the queue
            Redis is not fit for it.
    """
    control = InFlightControl(
        min(settings.dispatcher_max_rows, settings.max_batch_rows),
        settings.dispatcher_max_in_flight,
        int(settings.dispatcher_queue_target_ms * NS_PER_MS),
    )

    def take_timing(timing: batch_pb2.HopTiming) -> None:
        if timing.foreground:
            control.foreground()

    chains = ServedChains(settings, "dispatcher", take_timing)
    try:
        await chains.load()
        async with open_queue(settings, "dispatcher") as queue:
            dispatcher = _dispatcher(settings, chains, queue, control)
            await run_service(
                settings,
                "dispatcher",
                (),
                chains.registry,
                lambda server: None,
                lambda server: _serve(settings, server, chains, queue, dispatcher),
            )
    finally:
        await chains.close()


def _dispatcher(
    settings: DispatcherSettings, chains: ServedChains, queue: Queue, control: InFlightControl
) -> Dispatcher:
    suspects = Suspects()
    parts = BatchParts(
        registry=chains.registry,
        account=OutcomeAccount(settings.log_sample_rate, RunSpans(process_tracing())),
        verdicts=Verdicts(settings.dispatcher_max_attempts, suspects),
        writer=ResultWriter(queue.submissions),
        connected=chains.connected,
        deadline_ms=settings.dispatcher_deadline_ms,
    )
    return Dispatcher(queue.submissions, parts, control, suspects)


async def _serve(
    settings: DispatcherSettings,
    server: GrpcServer,
    chains: ServedChains,
    queue: Queue,
    dispatcher: Dispatcher,
) -> None:
    """Dispatches until the process is to end, and what has begun is done or given back."""
    async with asyncio.TaskGroup() as group:
        for job in chains.jobs():
            group.create_task(job)
        # Also without hops: what waits for them expires when its time is over.
        group.create_task(sweep(queue.submissions))
        group.create_task(count_queue(queue.submissions))
        await chains.reached()
        group.create_task(_tell_health(server, queue))
        group.create_task(
            keep_leases(queue.submissions, dispatcher.batches, settings.dispatcher_lease_ms)
        )
        claiming = group.create_task(dispatcher.run())
        failed = asyncio.Event()

        async def drain() -> None:
            ends = [asyncio.ensure_future(event.wait()) for event in (server.draining, failed)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            await dispatcher.drain(claiming, settings.drain_grace_ms / 1000)

        draining = asyncio.ensure_future(drain())
        try:
            await asyncio.shield(draining)
        except asyncio.CancelledError:
            # The server has ended, or one of the others has failed. Leases are kept meanwhile.
            failed.set()
            await asyncio.wait([draining])
            raise


async def _tell_health(server: GrpcServer, queue: Queue) -> None:
    while True:
        await server.set_serving(queue.available)
        await asyncio.sleep(HEALTH_EVERY_S)
