"""Composition root of the gateway."""

from __future__ import annotations

import asyncio

import grpc.aio

from tailrace.gateway.open_inference import add_open_inference
from tailrace.gateway.open_services import open_services
from tailrace.gateway.predictor import Predictor
from tailrace.gateway.served_chains import ServedChains
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.server import GrpcServer
from tailrace.runtime.service_process import run_service

PREDICTION_SERVICE = "tailrace.v1.PredictionService"
CALLBACK_SERVICE = "tailrace.v1.CallbackService"
OPEN_INFERENCE_SERVICE = "inference.GRPCInferenceService"


async def run(settings: GatewaySettings) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        StartError: a port is in use, a hop that is placed here cannot be built, or the queue Redis
            is not fit for it.
    """
    chains = ServedChains(settings, "gateway")
    predictor = Predictor(chains.registry, settings)
    draining = asyncio.Event()

    async def tell_draining(server: GrpcServer) -> None:
        await server.draining.wait()
        draining.set()

    async def watch_readiness(server: GrpcServer) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(tell_draining(server))
            for job in chains.jobs():
                group.create_task(job)
            await chains.reached()
            await server.set_serving(True)

    try:
        await chains.load()
        async with open_services(settings, predictor, draining) as add_services:

            def add_servicers(server: grpc.aio.Server) -> None:
                add_services(server)
                add_open_inference(predictor, server)

            await run_service(
                settings,
                "gateway",
                (PREDICTION_SERVICE, CALLBACK_SERVICE, OPEN_INFERENCE_SERVICE),
                chains.registry,
                add_servicers,
                watch_readiness,
            )
    finally:
        await chains.close()
