"""Spans of runs: what a dispatcher makes of a submission, each time that it takes it."""

from __future__ import annotations

from tailrace.dispatcher.rows import SubmittedRow
from tailrace.gateway.arrival import RefusedRow
from tailrace.gateway.asked import Asked
from tailrace.gateway.convoy import Convoy
from tailrace.gateway.request_spans import RequestSpans
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue, SpanKind


class RunSpans(RequestSpans):
    """Tells runs as the gateway tells requests; each is below the span of its submission."""

    kind = SpanKind.CONSUMER

    def _misses_objective(self, convoy: Convoy, took_ns: int) -> bool:
        # Nobody waits for it: what is promised of submissions is their delivery.
        return False

    def _identity(self, asked: Asked) -> dict[str, AttributeValue]:
        attributes = super()._identity(asked)
        if isinstance(asked, SubmittedRow):
            attributes[names.PREDICTION_ID] = asked.prediction_id
            attributes[names.ATTEMPT] = asked.run_attempt
        elif isinstance(asked, RefusedRow):
            # What cannot be read, or has no pipeline any more, is named by its submission.
            attributes[names.PREDICTION_ID] = asked.request_id
        return attributes
