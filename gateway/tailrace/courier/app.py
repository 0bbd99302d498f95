"""Composition root of the courier."""

from __future__ import annotations

import asyncio

from tailrace.courier.courier import Courier
from tailrace.courier.ending import end
from tailrace.courier.metrics import count_queue, follow_objectives
from tailrace.runtime.config import CourierSettings
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.server import GrpcServer, background
from tailrace.submissions.open_queue import Queue, open_queue
from tailrace.submissions.push.sender import open_sender

HEALTH_EVERY_S = 0.2


async def run(settings: CourierSettings) -> None:
    """Delivers results until SIGTERM or SIGINT.

    Raises:
        StartError: a port is in use, a setting cannot be used, or the queue Redis is not fit for
            it.
    """
    sender = open_sender(settings)
    try:
        async with open_queue(settings, "courier") as queue:
            courier = Courier(settings, queue.submissions, queue.callbacks, sender)
            # Where there are no pipeline files, times are counted without their objectives.
            objectives = PipelineRegistry(settings.pipelines_dir, follow_objectives)
            if settings.pipelines_dir.is_dir():
                await asyncio.to_thread(objectives.load)
            server = GrpcServer(settings, "courier", (), lambda server: None)
            await server.start()
            try:
                watch = objectives.watch(settings.pipelines_poll_ms / 1000)
                async with background(watch):
                    await _serve(settings, server, queue, courier)
            finally:
                await server.close()
    finally:
        await sender.close()


async def _serve(
    settings: CourierSettings, server: GrpcServer, queue: Queue, courier: Courier
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve_until_signalled())
        jobs = [
            group.create_task(job)
            for job in (
                *courier.jobs(),
                count_queue(queue.submissions),
                _tell_health(server, queue),
            )
        ]
        await server.draining.wait()
        # Before anything that is in flight has ended, nobody looks for more.
        await end(jobs[:1])
        await courier.drain(settings.drain_grace_ms / 1000)
        await end(jobs)


async def _tell_health(server: GrpcServer, queue: Queue) -> None:
    while True:
        await server.set_serving(queue.available)
        await asyncio.sleep(HEALTH_EVERY_S)
