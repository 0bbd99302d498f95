"""The gateway's own services, built with a queue or without one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import grpc.aio

from tailrace.gateway.callback_admin import CallbackAdmin
from tailrace.gateway.callback_servicer import CallbackServicer
from tailrace.gateway.change_tail import ChangeTails
from tailrace.gateway.dead_letters import DeadLetters
from tailrace.gateway.no_submissions import NoCallbacks
from tailrace.gateway.prediction_servicer import PredictionServicer
from tailrace.gateway.predictor import Predictor
from tailrace.gateway.submission_servicer import SubmissionServicer
from tailrace.gateway.submitter import Submitter
from tailrace.runtime.config import GatewaySettings
from tailrace.submissions.push.sender import open_sender
from tailrace.submissions.push.target_rules import TargetRules
from tailrace.v1 import callback_service_pb2_grpc, prediction_service_pb2_grpc

AddServices = Callable[[grpc.aio.Server], None]


@contextlib.asynccontextmanager
async def open_services(
    settings: GatewaySettings, predictor: Predictor, draining: asyncio.Event
) -> AsyncIterator[AddServices]:
    """Returns what registers `PredictionService` and `CallbackService` with a server.

    Synchronous predictions need nothing of what is opened here.

    Args:
        settings: of the gateway.
        predictor: makes the synchronous predictions.
        draining: set once the process is to end; streams then end, too.

    Raises:
        StartError: the queue Redis answers, and does not do what the settings want.
    """
    if settings.queue_redis_url is None:
        predictions = PredictionServicer(predictor, settings, draining)
        yield lambda server: _add(server, predictions, NoCallbacks())
        return
    # A gateway without a queue needs no Redis client.
    from tailrace.submissions.open_queue import open_queue

    async with contextlib.AsyncExitStack() as stack:
        queue = await stack.enter_async_context(open_queue(settings, "gateway"))
        sender = open_sender(settings)
        stack.push_async_callback(sender.close)
        targets = TargetRules(
            settings.callback_allowed_networks, allow_plaintext=settings.callback_allow_plaintext
        )
        submitter = Submitter(
            queue.submissions, queue.callbacks, predictor.registry, settings, targets
        )
        stack.push_async_callback(submitter.close)
        tails = ChangeTails(queue.submissions)
        stack.push_async_callback(tails.close)
        waking = asyncio.create_task(_wake_once(draining, tails))
        stack.callback(waking.cancel)
        submissions = SubmissionServicer(
            predictor, settings, draining, queue.submissions, tails, submitter
        )
        admin = CallbackAdmin(
            queue.submissions,
            queue.callbacks,
            sender,
            submitter.forget_callbacks,
            targets,
        )
        callbacks = CallbackServicer(admin, DeadLetters(queue.submissions, queue.callbacks))
        yield lambda server: _add(server, submissions, callbacks)


def _add(
    server: grpc.aio.Server,
    predictions: PredictionServicer,
    callbacks: callback_service_pb2_grpc.CallbackServiceServicer,
) -> None:
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(predictions, server)
    callback_service_pb2_grpc.add_CallbackServiceServicer_to_server(callbacks, server)


async def _wake_once(draining: asyncio.Event, tails: ChangeTails) -> None:
    await draining.wait()
    tails.wake_all()
