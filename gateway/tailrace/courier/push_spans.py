"""Spans of pushes: one for each attempt, in the trace of the first traced submission that it has.

It is below the span of that submission, and links to the other traced ones. Its own place travels
with the message, so that what the receiver does is below the attempt; a delivery that shares a
message with others keeps the place of its own submission, as its trace is another one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from tailrace.runtime.errors import Code
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue, Span, SpanKind
from tailrace.runtime.tracing.trace_context import read_traceparent
from tailrace.runtime.tracing.tracing import Tracing
from tailrace.submissions.push.destination import Destination
from tailrace.submissions.push.outcome import TIMEOUT, PushOutcome
from tailrace.submissions.push.push_item import PushItem
from tailrace.submissions.records import DeliveryClaim


class PushSpan:
    """The span of one attempt; told once, by `over` or `cancelled`.

    Attributes:
        context: its place.
        submissions: the place of each claim's own submission, None where that names none.
    """

    def __init__(
        self,
        tracing: Tracing,
        key: str,
        destination: Destination | None,
        claims: Sequence[DeliveryClaim],
    ) -> None:
        """Begins now.

        Args:
            tracing: who decides, and where spans go.
            key: of the callback.
            destination: None for one that cannot be used.
            claims: what the message carries; at least one.
        """
        self._start_ns = time.monotonic_ns()
        self._tracing = tracing
        self._claims = claims
        self._key, self._destination = key, destination
        self.submissions = submissions = [
            read_traceparent(claim.traceparent, claim.tracestate) for claim in claims
        ]
        traced = [place for place, own in enumerate(submissions) if own is not None and own.sampled]
        self._lead = traced[0] if traced else 0
        lead = submissions[self._lead]
        self.context = tracing.begin({}) if lead is None else lead.child()
        self._links = [
            parent
            for place in traced
            if place != self._lead and (parent := submissions[place]) is not None
        ]

    def mark(self, items: Sequence[PushItem]) -> None:
        """Puts its place into the item whose trace it stands in.

        Args:
            items: one for each claim, in order.
        """
        lead = items[self._lead]
        lead.traceparent, lead.tracestate = self.context.traceparent, self.context.tracestate

    def over(self, outcomes: Sequence[PushOutcome], dead: int) -> None:
        """Tells the attempt, if it is traced or failed.

        Args:
            outcomes: one for each claim, in order.
            dead: how many of them are not tried again.
        """
        failures = [outcome.result for outcome in outcomes if not outcome.delivered]
        if not failures:
            self._tell(Code.OK, "", 0, 0)
            return
        code = Code.DEADLINE_EXCEEDED if failures[0] == TIMEOUT else Code.UNKNOWN
        self._tell(code, failures[0], len(failures), dead)

    def cancelled(self) -> None:
        """Tells that the attempt was given up, if it is traced."""
        self._tell(Code.CANCELLED, "given up", len(self._claims), 0)

    def _tell(self, code: Code, result: str, failed: int, dead: int) -> None:
        tracing, own = self._tracing, self.context
        if not tracing.tells:
            return
        if not own.sampled and (
            code in (Code.OK, Code.CANCELLED) or not tracing.may_tell_afterwards()
        ):
            return
        claim = self._claims[self._lead]
        attributes: dict[str, AttributeValue] = {
            names.CALLBACK: self._key,
            names.PREDICTION_ID: claim.prediction_id,
            names.REQUEST_ID: claim.prediction.request_id,
            names.PIPELINE: claim.prediction.pipeline,
            names.ATTEMPT: claim.attempt,
            names.BATCH_COUNT: len(self._claims),
            names.FAILED_ROWS: failed,
            names.DEAD_ROWS: dead,
            names.SAMPLED_BY: tracing.sampled_by(own) if own.sampled else names.BY_FAILURE,
        }
        if claim.prediction.tenant:
            attributes[names.TENANT] = claim.prediction.tenant
        if self._destination is not None:
            attributes[names.SERVER_ADDRESS] = self._destination.target.host
            attributes[names.SERVER_PORT] = self._destination.target.port
        if result:
            attributes[names.ERROR_TYPE] = attributes[names.REASON] = result
        tracing.tell(
            Span(
                names.PUSH,
                own,
                SpanKind.CLIENT,
                self._start_ns,
                time.monotonic_ns(),
                attributes,
                code,
                result,
                self._links,
            )
        )
