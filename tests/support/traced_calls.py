"""Calls of a gateway that name a trace, and what came back."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from tailrace.client.values import Fields
from tailrace.v1 import prediction_service_pb2, prediction_service_pb2_grpc
from tests.support.requests import predict_request
from tests.support.running_mesh import RunningMesh


@dataclass(frozen=True)
class CallerTrace:
    """The place of a caller's span.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        sampled: whether it is in the sample.
    """

    trace_id: str
    span_id: str
    sampled: bool

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers that name it."""
        flags = "01" if self.sampled else "00"
        return (("traceparent", f"00-{self.trace_id}-{self.span_id}-{flags}"),)


def caller_trace(*, sampled: bool) -> CallerTrace:
    """Returns the place of a span in a trace that nobody else has."""
    return CallerTrace(secrets.token_hex(16), secrets.token_hex(8), sampled)


def predict_all(
    mesh: RunningMesh, pipeline: str, asked: list[tuple[CallerTrace, Fields]]
) -> list[prediction_service_pb2.PredictResponse]:
    """Returns answers, asked for one after the other, each in its caller's trace."""
    with mesh.channel("gateway") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return [
            stub.Predict(predict_request(pipeline, fields), timeout=5, metadata=trace.headers)
            for trace, fields in asked
        ]
