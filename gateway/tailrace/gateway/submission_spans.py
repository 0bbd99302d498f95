"""Spans of submissions: from the receipt of their call until they are durable, or refused.

What runs and what is pushed later stands below them, in the same trace: the queue keeps the place
of the span with the submission. A submission that was there already keeps the place of the first
one; its repetition is a span in a trace of its own, which names the prediction.
"""

from __future__ import annotations

import time

from tailrace.runtime.errors import Code, TailraceError
from tailrace.runtime.fault_codes import CALLERS_CODES
from tailrace.runtime.logs import failure_text
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue, Span, SpanKind
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import Tracing
from tailrace.submissions.records import Submitted

_MAX_TEXT = 128


class SubmissionSpans:
    """Tells submissions once each: those in the sample, and those that the mesh has failed."""

    def __init__(self, tracing: Tracing) -> None:
        """Keeps who decides, and where spans go."""
        self._tracing = tracing

    def take(
        self,
        trace: TraceContext,
        request_id: str,
        pipeline: str,
        outcome: Submitted | TailraceError,
        received_ns: int,
    ) -> None:
        """Tells a submission if it is traced, or failed.

        Args:
            trace: the place of its span.
            request_id: as sent, or as made here.
            pipeline: name of its pipeline, or `_OTHER`.
            outcome: what became of it, now.
            received_ns: when its call was received, on the monotonic clock.
        """
        tracing = self._tracing
        if not tracing.tells:
            return
        failed = isinstance(outcome, TailraceError) and outcome.code not in CALLERS_CODES
        if not trace.sampled and not (failed and tracing.may_tell_afterwards()):
            return
        attributes: dict[str, AttributeValue] = {
            names.REQUEST_ID: request_id[:_MAX_TEXT],
            names.PIPELINE: pipeline,
            names.SAMPLED_BY: tracing.sampled_by(trace) if trace.sampled else names.BY_FAILURE,
        }
        code, message = Code.OK, ""
        if isinstance(outcome, TailraceError):
            code, message = outcome.code, failure_text(outcome)
            attributes[names.ERROR_TYPE] = code.name
            attributes[names.REASON] = outcome.reason.name
        else:
            attributes[names.PREDICTION_ID] = outcome.prediction_id
            attributes[names.ALREADY_SUBMITTED] = outcome.already_submitted
        tracing.tell(
            Span(
                names.SUBMIT,
                trace,
                SpanKind.PRODUCER,
                received_ns,
                time.monotonic_ns(),
                attributes,
                code,
                message,
            )
        )
