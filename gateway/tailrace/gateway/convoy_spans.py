"""Spans of convoys and of their hop calls, told when the convoy has ended.

A convoy stands in the trace of the first of its rows that is traced, below that row's span, and
links to the spans of the others. While none of its rows is traced, it costs a look at each.
"""

from __future__ import annotations

import time

from tailrace.gateway.convoy import Convoy
from tailrace.gateway.ledger import HopSpending
from tailrace.runtime.deadline import NS_PER_MS
from tailrace.runtime.errors import Code
from tailrace.runtime.logs import failure_text
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.slo_section import SloSection
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue, Span, SpanKind
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import Tracing
from tailrace.v1 import ledger_pb2


class ConvoySpans:
    """Tells the convoys of one pipeline version."""

    def __init__(self, tracing: Tracing, pipeline: Pipeline) -> None:
        """Keeps the parts."""
        self._tracing = tracing
        self._objective_ns = objective_ns(pipeline.spec.slo)

    def departs(self, convoy: Convoy) -> None:
        """Decides on the place of a convoy's span, if any of its rows is in the sample."""
        convoy.objective_ns = self._objective_ns
        if self._tracing.tells:
            traced = [row.trace for row in convoy.rows if row.trace.sampled]
            if traced:
                convoy.trace, convoy.linked = traced[0].child(), traced[1:]

    def ended(self, convoy: Convoy) -> None:
        """Tells a convoy and its hop calls, if any row is traced by now; call once.

        Args:
            convoy: of which every row has its outcome.
        """
        trace = convoy.trace
        if trace is None:
            return
        # One that was cancelled has not returned.
        end_ns = convoy.ended_ns or time.monotonic_ns()
        rows = convoy.rows
        well = [row for row in convoy.prediction_rows if rows[row].error is None]
        code, message = Code.OK, ""
        if not convoy.ended_ns:
            code, message = Code.CANCELLED, "all rows had left"
        elif not well:
            error = next((row.error for row in rows if row.error is not None), None)
            code = Code.INTERNAL if error is None else error.code
            message = "" if error is None else failure_text(error)
        self._tracing.tell(
            Span(
                names.CONVOY,
                trace,
                SpanKind.INTERNAL,
                convoy.departed_ns,
                end_ns,
                {
                    names.PIPELINE: convoy.pipeline.name,
                    names.PIPELINE_VERSION: convoy.pipeline.version,
                    names.ROWS: len(rows),
                    names.FAILED_ROWS: len(rows) - len(well),
                    names.CONVOY_WAIT_NS: convoy.departed_ns
                    - min([row.received_ns for row in rows]),
                },
                code,
                message,
                convoy.linked,
            )
        )
        for spending in convoy.book.spent:
            self._tracing.tell(_hop_span(convoy, trace, spending, end_ns))


def objective_ns(slo: SloSection) -> int:
    """Returns the time within which the largest share of answers is to come; 0 if none is named.

    Args:
        slo: of a pipeline; what it says of single hops does not count.
    """
    whole = [objective for objective in slo.latency if objective.hop is None]
    if not whole:
        return 0
    return int(max(whole, key=lambda objective: objective.percentile).within_ms * NS_PER_MS)


def placement_name(placement: ledger_pb2.Placement.ValueType) -> str:
    """Returns the name of a placement, such as `remote`."""
    return ledger_pb2.Placement.Name(placement).removeprefix("PLACEMENT_").lower()


def _hop_span(convoy: Convoy, parent: TraceContext, spending: HopSpending, end_ns: int) -> Span:
    parts = spending.parts(end_ns)
    attributes: dict[str, AttributeValue] = {
        names.HOP: spending.hop,
        names.PIPELINE: convoy.pipeline.name,
        names.PLACEMENT: placement_name(spending.placement),
        names.ROWS: spending.rows,
        names.ATTEMPTS: spending.attempts,
        names.CRITICAL: convoy.book.is_critical(spending),
        names.DURATION_NS: parts.duration_ns,
        names.QUEUE_NS: parts.queue_ns,
        names.NETWORK_NS: parts.network_ns,
        names.WORK_NS: parts.work_ns,
        names.BUDGET_NS: max(spending.budget_ns, 0),
    }
    # What still ran when its convoy was cancelled is cancelled with it.
    code = Code(spending.code) if spending.end_ns else Code.CANCELLED
    if code is not Code.OK:
        attributes[names.ERROR_TYPE] = code.name
    if spending.reason:
        attributes[names.REASON] = spending.reason
    is_local = spending.placement == ledger_pb2.PLACEMENT_LOCAL
    return Span(
        names.HOP_CALL.format(hop=spending.hop),
        spending.trace or parent.child(),
        SpanKind.INTERNAL if is_local else SpanKind.CLIENT,
        spending.start_ns,
        spending.end_ns or end_ns,
        attributes,
        code,
        spending.message,
    )
