"""The line about a result that has been delivered, for those in the sample."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.logs import in_sample
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.submissions.push.outcome import PushOutcome
from tailrace.submissions.records import DeliveryClaim

_log = structlog.get_logger(__name__)


def tell_delivered(
    key: str,
    claims: Sequence[DeliveryClaim],
    outcomes: Sequence[PushOutcome],
    submissions: Sequence[TraceContext | None],
    took_ns: int,
) -> None:
    """Writes a line for each result that the receiver has taken and that is in the sample.

    Args:
        key: of the callback.
        claims: what the message carried.
        outcomes: one each.
        submissions: the place of the span of each one's submission, or None.
        took_ns: from sending the message until its answer.
    """
    for claim, outcome, submitted in zip(claims, outcomes, submissions, strict=True):
        if not outcome.delivered or not in_sample(claim.prediction_id):
            continue
        fields: dict[str, object] = {}
        if submitted is not None:
            fields[names.TRACE_ID] = submitted.trace_id
            fields[names.SPAN_ID] = submitted.span_id
        _log.info(
            "result delivered",
            **fields,
            **{
                names.EVENT_OUTCOME: "success",
                names.EVENT_DURATION_NS: took_ns,
                names.PREDICTION_ID: claim.prediction_id,
                names.CALLBACK: key,
                names.RUN_ATTEMPT: claim.attempt,
                names.ROWS: len(claims),
            },
        )
