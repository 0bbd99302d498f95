"""Counts submissions, and tells of those that were refused or are in the sample."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Sequence

import structlog
from prometheus_client import Counter, Histogram

from tailrace.gateway.submission_spans import SubmissionSpans
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.deadline import NS_PER_S
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.logs import failure_fields, sampled
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.submissions.records import Submitted

OTHER_PIPELINE = "_OTHER"
ALREADY = "ALREADY_SUBMITTED"

_log = structlog.get_logger(__name__)
_SUBMISSIONS = Counter(
    names.SUBMISSIONS_TOTAL,
    "Submissions answered, by what became of them.",
    ["pipeline", "outcome"],
)
_ACKNOWLEDGE_SECONDS = Histogram(
    names.SUBMISSION_ACKNOWLEDGE_SECONDS,
    "Time from the receipt of a call with submissions until they are durable.",
    buckets=names.LATENCY_BUCKETS_S,
)


class SubmissionAccount:
    """Takes note of every submission once."""

    def __init__(self, log_sample_rate: float, spans: SubmissionSpans) -> None:
        """Keeps the parts.

        Args:
            log_sample_rate: share of submissions that have a line in the log though all went well.
            spans: tells those that are traced.
        """
        self._rate = log_sample_rate
        self._spans = spans

    def take(
        self,
        request_ids: Sequence[str],
        outcomes: Sequence[Submitted | TailraceError],
        known_pipelines: Sequence[str],
        traces: Sequence[TraceContext],
        received_ns: int,
    ) -> None:
        """Takes note of what became of the submissions of one call.

        Args:
            request_ids: of the submissions of the call.
            outcomes: one each, in order.
            known_pipelines: name of the pipeline of each, or `_OTHER` where there is none.
            traces: the place of the span of each.
            received_ns: when the call was received, on the monotonic clock.
        """
        took_ns = time.monotonic_ns() - received_ns
        tally: Tally[tuple[str, str]] = Tally()
        acknowledged = False
        for request_id, outcome, pipeline, trace in zip(
            request_ids, outcomes, known_pipelines, traces, strict=True
        ):
            self._spans.take(trace, request_id, pipeline, outcome, received_ns)
            if isinstance(outcome, TailraceError):
                tally[pipeline, outcome.code.name] += 1
                _log.warning(
                    "submission refused",
                    **_identity(pipeline, request_id, trace, took_ns),
                    **failure_fields(outcome),
                )
                continue
            acknowledged = True
            tally[pipeline, ALREADY if outcome.already_submitted else "OK"] += 1
            if sampled(request_id, self._rate):
                _log.info(
                    "submission acknowledged",
                    **_identity(pipeline, request_id, trace, took_ns),
                    **{
                        names.EVENT_OUTCOME: "success",
                        names.PREDICTION_ID: outcome.prediction_id,
                    },
                )
        for labels, count in tally.items():
            _SUBMISSIONS.labels(*labels).inc(count)
        if acknowledged:
            _ACKNOWLEDGE_SECONDS.observe(took_ns / NS_PER_S)


def _identity(
    pipeline: str, request_id: str, trace: TraceContext, took_ns: int
) -> dict[str, object]:
    return {
        names.TRACE_ID: trace.trace_id,
        names.SPAN_ID: trace.span_id,
        names.REQUEST_ID: request_id[:128],
        names.PIPELINE: pipeline,
        names.EVENT_DURATION_NS: took_ns,
    }
