"""What every hop does around its work: decode, find the pipeline, keep deadlines, time, log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import structlog

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.columns import Columns
from tailrace.runtime.config import ServerSettings
from tailrace.runtime.deadline import NS_PER_S
from tailrace.runtime.errors import Cancelled, DeadlineExceeded, TailraceError
from tailrace.runtime.hop_answer import HopAnswer
from tailrace.runtime.logs import TOLD, failure_fields, may_tell_failure, sampled_places
from tailrace.runtime.metrics import ROW_FAILURES
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.tracing import span_names
from tailrace.runtime.tracing.call_trace import call_trace
from tailrace.runtime.tracing.serve_span import serve_attributes
from tailrace.runtime.tracing.span import SpanKind
from tailrace.runtime.tracing.timed_span import timed_span
from tailrace.runtime.tracing.trace_context import TraceContext, read_traceparent
from tailrace.runtime.tracing.tracing import Tracing, process_tracing
from tailrace.runtime.turns import PROCESS_TURNS, Turns
from tailrace.runtime.wire import batch_from_proto, write_answer
from tailrace.v1 import batch_pb2

Compiled = TypeVar("Compiled")
Result = TypeVar("Result")

# What it returns is awaited if it can be; most batches of most hops are done without a wait.
Work: TypeAlias = Callable[[Batch, Compiled], Result | Awaitable[Result]]

_log = structlog.get_logger(__name__)


class CallContext(Protocol):
    """What a hop asks of the call that it answers; gRPC's servicer contexts have it."""

    def time_remaining(self) -> float | None:
        """Returns the seconds that the caller still waits; None if for ever."""
        ...


@dataclass(slots=True)
class HopOutcome(Generic[Result]):
    """What a hop's work came to.

    Attributes:
        rows: the rows, with the failures of this hop.
        result: what the work returned; None if no row was live.
        queue_ns: from receipt until the work began, and within it waiting for the model.
        work_ns: from then until it was done, without those waits.
        foreground: for a background batch, whether the process has lately had others.
    """

    rows: Rows
    result: Result | None
    queue_ns: int
    work_ns: int
    foreground: bool = False

    def write(
        self, message: batch_pb2.Batch, timing: batch_pb2.HopTiming, columns: Columns | None
    ) -> None:
        """Writes rows, columns (if there are any) and times into a response's empty messages."""
        write_answer(message, self.rows, columns or Columns(len(self.rows)))
        timing.queue_ns = self.queue_ns
        timing.work_ns = self.work_ns
        if self.foreground:
            timing.foreground = True

    def answer(self, columns: Columns | None) -> HopAnswer:
        """Returns what `write` writes, for a caller in this process."""
        blocks = columns.blocks if columns else ()
        return HopAnswer(blocks, self.rows.failures.items(), self.queue_ns, self.work_ns)


class HopRunner(Generic[Compiled]):
    """Runs the work of one hop on the batches that arrive."""

    def __init__(
        self,
        hop: str,
        registry: PipelineRegistry[Compiled],
        settings: ServerSettings,
        turns: Turns = PROCESS_TURNS,
        tracing: Tracing | None = None,
    ) -> None:
        """Keeps the parts.

        Args:
            hop: name of the hop, for logs, metrics and spans.
            registry: the pipelines of this process.
            settings: limits and sample rate.
            turns: which batches go first.
            tracing: takes the spans; by default that of the process.
        """
        self._tracing = tracing or process_tracing()
        self._hop = hop
        self._registry = registry
        self._settings = settings
        self._turns = turns

    def run(
        self, message: batch_pb2.Batch | Batch, context: CallContext, work: Work[Compiled, Result]
    ) -> Coroutine[Any, Any, HopOutcome[Result]]:
        """Runs `work` on the live rows' batch, no longer than the latest of their deadlines.

        `work` marks the rows that fail in `batch.rows`. An error that it raises fails the
        whole call.

        Args:
            message: the rows and columns, as a message, or from a caller in this process as they
                are.
            context: of the call.
            work: what the hop does.

        Raises:
            InvalidBatch, InvalidTensor, NotFound, Unavailable: see there.
            DeadlineExceeded: no row had time left.
        """
        received_ns = time.monotonic_ns()
        caller = call_trace(context) if self._tracing.tells else None
        if caller is None:
            return self._run(message, context, work, received_ns)
        if isinstance(message, Batch):
            # Within the process: the caller's span is that of this call, too.
            return self._run(message, context, work, received_ns, caller)
        return self._run_traced(message, context, work, received_ns, caller.child())

    async def _run_traced(
        self,
        message: batch_pb2.Batch,
        context: CallContext,
        work: Work[Compiled, Result],
        received_ns: int,
        place: TraceContext,
    ) -> HopOutcome[Result]:
        attributes = serve_attributes(self._hop, message)
        with timed_span(
            self._tracing,
            span_names.HOP_SERVE.format(hop=self._hop),
            place,
            SpanKind.SERVER,
            attributes,
            start_ns=received_ns,
        ):
            outcome = await self._run(message, context, work, received_ns, place)
            attributes[span_names.FAILED_ROWS] = len(outcome.rows.failures)
            attributes[span_names.QUEUE_NS] = outcome.queue_ns
            attributes[span_names.WORK_NS] = outcome.work_ns
            return outcome

    async def _run(
        self,
        message: batch_pb2.Batch | Batch,
        context: CallContext,
        work: Work[Compiled, Result],
        received_ns: int,
        trace: TraceContext | None = None,
    ) -> HopOutcome[Result]:
        batch = (
            message
            if isinstance(message, Batch)
            else batch_from_proto(message, self._settings.max_batch_rows)
        )
        batch.trace = trace
        try:
            if batch.rows.background:
                outcome = await self._work_on(batch, context, work, received_ns)
            else:
                with self._turns.others():
                    outcome = await self._work_on(batch, context, work, received_ns)
        except TailraceError as error:
            self._log_failed_call(batch, error)
            raise
        except asyncio.CancelledError:
            # By the caller, who may have seen the deadline pass a moment before this process.
            expired = max(batch.rows.deadlines_ns) <= time.monotonic_ns()
            self._log_failed_call(batch, self._late() if expired else Cancelled("cancelled"))
            raise
        self._log_rows(batch, outcome)
        return outcome

    async def _work_on(
        self,
        batch: Batch,
        context: CallContext,
        work: Work[Compiled, Result],
        received_ns: int,
    ) -> HopOutcome[Result]:
        rows = batch.rows
        remaining_s = context.time_remaining()
        if remaining_s is not None:
            rows.limit_deadlines(received_ns + int(remaining_s * NS_PER_S))
        compiled = await self._registry.find_for_hop(batch.pipeline, batch.version)
        foreground = False
        if rows.background:
            await self._turns.background(rows.latest_deadline_ns())
            foreground = self._turns.foreground
        started_ns = time.monotonic_ns()
        rows.fail_expired(started_ns)
        result: Result | None = None
        if len(rows.failures) < len(rows):
            result = await self._in_time(work(batch, compiled), rows, started_ns)
        done_ns = time.monotonic_ns()
        queue_ns = started_ns - received_ns + batch.waited_ns
        return HopOutcome(rows, result, queue_ns, done_ns - received_ns - queue_ns, foreground)

    async def _in_time(
        self, result: Result | Awaitable[Result], rows: Rows, started_ns: int
    ) -> Result:
        # What was done at once needs no timer, which costs as much as some hops' whole work.
        if not isinstance(result, Awaitable):
            return result
        latest_s = (rows.latest_deadline_ns() - started_ns) / NS_PER_S
        try:
            async with asyncio.timeout(latest_s):
                return await result
        except TimeoutError as error:
            raise self._late() from error

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"the deadline passed during {self._hop}")

    def _log_failed_call(self, batch: Batch, error: TailraceError) -> None:
        ROW_FAILURES.labels(self._hop, error.reason.name).inc(len(batch.rows))
        for row in range(len(batch.rows)):
            self._log_failure(batch, row, error)

    def _log_rows(self, batch: Batch, outcome: HopOutcome[Any]) -> None:
        rows = batch.rows
        for row, error in rows.failures.items():
            ROW_FAILURES.labels(self._hop, error.reason.name).inc()
            self._log_failure(batch, row, error)
        for row in sampled_places(rows.request_ids, self._settings.log_sample_rate):
            if row not in rows.failures:
                _log.info(
                    "hop done",
                    **self._identity(batch, row),
                    **{
                        names.EVENT_OUTCOME: "success",
                        names.EVENT_DURATION_NS: outcome.queue_ns + outcome.work_ns,
                        names.QUEUE_NS: outcome.queue_ns,
                        names.WORK_NS: outcome.work_ns,
                        names.ROWS: len(rows),
                    },
                )

    def _log_failure(self, batch: Batch, row: int, error: TailraceError) -> None:
        # Asked first: a batch that fails as a whole has thousands of rows.
        if may_tell_failure(error.reason.name):
            _log.warning(
                "hop failed",
                **self._identity(batch, row),
                **failure_fields(error),
                **{TOLD: True},
            )

    def _identity(self, batch: Batch, row: int) -> dict[str, str]:
        rows = batch.rows
        identity = {
            names.HOP: self._hop,
            names.REQUEST_ID: rows.request_ids[row],
            names.PIPELINE: batch.pipeline,
            names.PIPELINE_VERSION: batch.version,
        }
        # Of the request itself, and not of the convoy that it is in.
        trace = read_traceparent(rows.traceparents[row]) if rows.traceparents else None
        if trace is not None:
            identity[names.TRACE_ID] = trace.trace_id
            identity[names.SPAN_ID] = trace.span_id
        return identity
