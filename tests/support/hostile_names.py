"""Names that nobody has declared, sent wherever the mesh takes a name."""

from __future__ import annotations

import contextlib
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tailrace.client import Client, EventClient, PredictionError
from tailrace.client.values import Fields
from tests.support.event_world import ride

BAD_TRACE = "00-" + "f" * 32 + "-" + "e" * 16 + "-01" + "x" * 500


def send_hostile_names(gateway: str, events: str, number: int) -> None:
    """Sends each kind of name once.

    Args:
        gateway: its target.
        events: that of the event service.
        number: makes the names others than those of the last time.
    """
    name = f'x{number}"}}\n\\{"y" * 300}'
    with Client(gateway) as client:
        fields: Fields = {"x0": 1.0, "account": name}
        for pipeline in (name, f"pipe-{number}", "_OTHER", ""):
            with contextlib.suppress(PredictionError):
                client.predict(pipeline, fields, timeout=5)
            with contextlib.suppress(PredictionError):
                client.submit(pipeline, fields)
        with contextlib.suppress(PredictionError):
            client.predict("echo", fields, tenant=f"tenant-{number}", timeout=5)
        with contextlib.suppress(PredictionError):
            client.predict("echo", fields, request_id=name, timeout=5)
    with grpc.insecure_channel(gateway) as channel:
        for method in (
            f"/evil.Service{number}/Method",
            f"/tailrace.v1.PredictionService/M{number}",
        ):
            call: Any = channel.unary_unary(method)
            with contextlib.suppress(grpc.RpcError):
                call(b"", timeout=5, metadata=(("traceparent", BAD_TRACE),))
        models: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelInferRequest(model_name=name, model_version=name)
        with contextlib.suppress(grpc.RpcError):
            models.ModelInfer(request, timeout=5)
    with EventClient(events) as client, contextlib.suppress(PredictionError):
        client.send(f"event-{number}", [ride(number)])
