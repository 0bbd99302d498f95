"""Spans of requests: told with the outcome, for those in the sample and those that ended badly.

A request outside the sample that failed, had a hop's failure made up for by defaults, or took too
long is told afterwards, from the ledger, as far as `Tracing` allows; its convoy then is, too.
"""

from __future__ import annotations

import time

from tailrace.gateway.asked import Asked
from tailrace.gateway.convoy import Convoy, ConvoyRow, Outcome
from tailrace.gateway.ledger import HOP_NUMBERS
from tailrace.gateway.outcome_line import quality_name
from tailrace.runtime.errors import Code, TailraceError
from tailrace.runtime.fault_codes import CALLERS_CODES
from tailrace.runtime.logs import failure_text
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue, Span, SpanKind
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import Tracing

_PARTS = ("start_ns", "duration_ns", "queue_ns", "network_ns", "work_ns", "budget_ns")
_LEDGER_NAMES = {
    hop: tuple([names.ledger_attribute(hop, part) for part in _PARTS]) for hop in HOP_NUMBERS
}

# Longest of what a caller chose freely and that was not checked.
_MAX_TEXT = 128


class RequestSpans:
    """Tells requests once each.

    Attributes:
        kind: what their spans stand for.
    """

    kind = SpanKind.SERVER

    def __init__(self, tracing: Tracing) -> None:
        """Keeps who decides, and where spans go."""
        self._tracing = tracing

    def take(self, asked: Asked, outcome: Outcome) -> bool:
        """Tells a request if it is traced, or ended badly; returns whether it did.

        Args:
            asked: the request.
            outcome: its answer or error, which it has since now.
        """
        tracing = self._tracing
        if not tracing.tells:
            return False
        end_ns = time.monotonic_ns()
        trace = asked.trace
        if trace.sampled:
            why = tracing.sampled_by(trace)
        else:
            why = self._afterwards(asked, outcome, end_ns)
            if not why or not tracing.may_tell_afterwards():
                return False
        self._tell(asked, outcome, end_ns, why)
        return True

    def _afterwards(self, asked: Asked, outcome: Outcome, end_ns: int) -> str:
        """Returns why a request is to be told though it is not in the sample, or nothing."""
        failed = isinstance(outcome, TailraceError)
        if isinstance(outcome, TailraceError) and outcome.code not in CALLERS_CODES:
            return names.BY_FAILURE
        if not isinstance(asked, ConvoyRow):
            return ""
        convoy = None if asked.holder is None else asked.holder.convoy
        # Of an answer, all rows of its lookup were given defaults.
        if convoy is not None and convoy.degradations and not failed:
            return names.BY_FAILURE
        took_ns = end_ns - asked.received_ns
        if took_ns > asked.granted_ns * self._tracing.slow_share:
            return names.BY_SLOWNESS
        if convoy is not None and self._misses_objective(convoy, took_ns):
            return names.BY_SLOWNESS
        return ""

    def _misses_objective(self, convoy: Convoy, took_ns: int) -> bool:
        return 0 < convoy.objective_ns < took_ns

    def _tell(self, asked: Asked, outcome: Outcome, end_ns: int, why: str) -> None:
        trace = asked.trace
        attributes = self._identity(asked)
        attributes[names.SAMPLED_BY] = why
        links: list[TraceContext] = []
        if isinstance(asked, ConvoyRow):
            attributes[names.DEADLINE_NS] = asked.granted_ns
            convoy = None if asked.holder is None else asked.holder.convoy
            if convoy is not None:
                _add_ledger(attributes, asked, convoy, end_ns)
                link = _link(convoy, trace)
                if link is not None:
                    links.append(link)
        code, message = Code.OK, ""
        if isinstance(outcome, TailraceError):
            code, message = outcome.code, failure_text(outcome)
            attributes[names.ERROR_TYPE] = code.name
            attributes[names.REASON] = outcome.reason.name
        else:
            attributes[names.PIPELINE_VERSION] = outcome.pipeline_version
            attributes[names.QUALITY] = quality_name(outcome.quality)
            if outcome.quality_reasons:
                reasons = [reason.detail for reason in outcome.quality_reasons]
                attributes[names.REASON] = "; ".join(reasons)
            attributes[names.UNATTRIBUTED_NS] = outcome.ledger.unattributed_ns
        start_ns = asked.received_ns
        self._tracing.tell(
            Span(
                names.PREDICT, trace, self.kind, start_ns, end_ns, attributes, code, message, links
            )
        )

    def _identity(self, asked: Asked) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            names.REQUEST_ID: asked.request_id[:_MAX_TEXT],
            names.PIPELINE: asked.pipeline,
        }
        if isinstance(asked, ConvoyRow) and asked.tenant:
            attributes[names.TENANT] = asked.tenant
        return attributes


def _link(convoy: Convoy, trace: TraceContext) -> TraceContext | None:
    """Returns the convoy's span, for a request to link to; None where it is the request's child."""
    own = convoy.trace
    # Those in the sample were noted when it departed.
    if own is None or not trace.sampled:
        own = convoy.traced_with(trace)
    return None if own.parent_id == trace.span_id else own


def _add_ledger(
    attributes: dict[str, AttributeValue], row: ConvoyRow, convoy: Convoy, end_ns: int
) -> None:
    """Adds what the hops have spent; one that still runs, until now."""
    attributes[names.PIPELINE_VERSION] = convoy.pipeline.version
    attributes[names.ROWS] = len(convoy.rows)
    attributes[names.CONVOY_WAIT_NS] = convoy.departed_ns - row.received_ns
    ledger = convoy.ledger_attributes
    if ledger is None:
        ledger = _ledger(convoy, end_ns)
        if convoy.ended_ns:
            # The same for all of its rows from now on.
            convoy.ledger_attributes = ledger
    attributes.update(ledger)


def _ledger(convoy: Convoy, end_ns: int) -> dict[str, int]:
    attributes: dict[str, int] = {}
    for spending in convoy.book.spent:
        duration_ns, queue_ns, network_ns, work_ns = spending.parts(end_ns)
        start_ns = spending.start_ns - convoy.departed_ns
        budget_ns = max(spending.budget_ns, 0)
        values = (start_ns, duration_ns, queue_ns, network_ns, work_ns, budget_ns)
        attributes.update(zip(_LEDGER_NAMES[spending.hop], values, strict=True))
    return attributes
