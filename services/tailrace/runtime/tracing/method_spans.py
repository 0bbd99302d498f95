"""Spans of calls that tell no other: administration, the feature registry, polls, watches.

The server interceptor of `opentelemetry-instrumentation-grpc` (0.66b2) would not do: it takes every
streaming handler for a generator, while ours read and write through their context, and it gives
calls that nobody sampled a span of their own.
"""

from __future__ import annotations

import time

from tailrace.runtime.errors import Code, TailraceError
from tailrace.runtime.logs import failure_text
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.serve_span import METHODS
from tailrace.runtime.tracing.span import AttributeValue, Span, SpanKind
from tailrace.runtime.tracing.trace_context import TRACEPARENT, TRACESTATE, TraceContext
from tailrace.runtime.tracing.tracing import Tracing, process_tracing

TOLD_ELSEWHERE = frozenset(METHODS.values()) | {
    "inference.GRPCInferenceService/ModelInfer",
    "inference.GRPCInferenceService/ModelStreamInfer",
    "tailrace.v1.EventService/IngestEvents",
    "tailrace.v1.PredictionService/Predict",
    "tailrace.v1.PredictionService/PredictBatch",
    "tailrace.v1.PredictionService/PredictStream",
    "tailrace.v1.PredictionService/SubmitPrediction",
    "tailrace.v1.PredictionService/SubmitPredictions",
}
"""Methods whose requests have spans of their own."""
# Health checks and reflection are about the process, not about anybody's request.
_OF_GRPC = "grpc."
_HEADERS = frozenset({TRACEPARENT, TRACESTATE})
_OURS = frozenset(
    {Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS}
)


class MethodSpans:
    """Tells the calls of one method that are in the sample, and those that failed for our part."""

    def __init__(self, method: str, tracing: Tracing) -> None:
        """Keeps the parts.

        Args:
            method: full name, such as `tailrace.v1.PredictionService/ListPipelines`.
            tracing: decides, and takes the spans.
        """
        self._method = method
        self._tracing = tracing

    def begin(self, metadata: object) -> TraceContext:
        """Returns the place of a call's own span.

        Args:
            metadata: of the call, as gRPC hands it on: pairs, or None.
        """
        pairs: object = metadata or ()
        headers = {key: value for key, value in pairs if key in _HEADERS}  # type: ignore[attr-defined]
        return self._tracing.begin(headers)

    def end(
        self, place: TraceContext, began_s: float, code: Code, failure: TailraceError | None
    ) -> None:
        """Tells a call that is over.

        Args:
            place: what `begin` returned.
            began_s: when it began, in seconds of the monotonic clock.
            code: its outcome.
            failure: what it failed with, if that is known.
        """
        tracing = self._tracing
        if place.sampled:
            why = tracing.sampled_by(place)
        elif code in _OURS and tracing.may_tell_afterwards():
            why = names.BY_FAILURE
        else:
            return
        attributes: dict[str, AttributeValue] = {
            names.RPC_SYSTEM: "grpc",
            names.RPC_METHOD: self._method,
            names.RPC_STATUS: code.name,
            names.SAMPLED_BY: why,
        }
        if code is not Code.OK:
            attributes[names.ERROR_TYPE] = code.name
        if failure is not None:
            attributes[names.REASON] = failure.reason.name
        message = "" if failure is None else failure_text(failure)
        start_ns, end_ns = int(began_s * 1e9), time.monotonic_ns()
        tracing.tell(
            Span(
                names.METHOD.format(method=self._method),
                place,
                SpanKind.SERVER,
                start_ns,
                end_ns,
                attributes,
                code,
                message,
            )
        )


def method_spans(method: str) -> MethodSpans | None:
    """Returns what tells the calls of a method; None where they tell themselves, or nobody listens.

    Args:
        method: full name, such as `tailrace.v1.PredictionService/ListPipelines`.
    """
    tracing = process_tracing()
    if not tracing.tells or method in TOLD_ELSEWHERE or method.startswith(_OF_GRPC):
        return None
    return MethodSpans(method, tracing)
