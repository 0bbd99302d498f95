"""The inference hop's work, whatever carries it: columns to tensors to columns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from tailrace.inference.assembly import Assembled
from tailrace.inference.backend import ModelAnswer, ModelBackend, ModelCall, ModelMetadata
from tailrace.inference.call_gate import CallGate, CallLimits
from tailrace.inference.compile import InferencePlan
from tailrace.inference.model_metrics import call_timer
from tailrace.inference.model_watch import ModelWatch
from tailrace.inference.outcomes import Inference, Outcome, merged
from tailrace.inference.output_checks import checked_outputs
from tailrace.runtime.batch import Batch, Rows
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import (
    Code,
    FailedPrecondition,
    ModelOutputInvalid,
    TailraceError,
    Unavailable,
)
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import AttributeValue, SpanKind
from tailrace.runtime.tracing.timed_span import timed_span
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import process_tracing

Result = TypeVar("Result")

PRIORITY_NORMAL = 2
"""PRIORITY_NORMAL of `tailrace.v1.Priority`; a lower number is more important, 0 is unset."""

CALLS_AT_ONCE = 4
"""Most calls at once for one batch and version, where the model takes fewer rows a call."""


class InferenceHandler:
    """Runs the model of a pipeline on batches."""

    def __init__(self, backend: ModelBackend, watch: ModelWatch, limits: CallLimits) -> None:
        """Keeps the parts.

        Args:
            backend: runs the models.
            watch: knows which of them are ready.
            limits: how many calls may be at a model at once, and how many may wait.
        """
        self._backend = backend
        self._watch = watch
        self._limits = limits
        self._tracing = process_tracing()
        self._gates: WeakKeyDictionary[ModelMetadata, CallGate] = WeakKeyDictionary()

    async def handle(self, batch: Batch, plan: InferencePlan) -> Inference:
        """Returns the model's answers to the live rows of the batch.

        Rows that the model cannot take, or answers unusably, fail by themselves. With several
        versions, rows of the one that cannot be called fail, and the others are answered.

        Raises:
            TailraceError: no row could be answered, for one and the same reason.
        """
        assembled = plan.assembler.assemble(batch.columns, batch.rows.live(), batch.rows)
        outcomes: Sequence[Outcome] = ()
        if len(assembled.rows):
            versions = plan.choice.versions
            if len(versions) == 1:
                outcomes = await self._run_version(versions[0], assembled, batch, plan)
            else:
                outcomes = await self._run_versions(assembled, batch, plan)
        return merged(plan.model, outcomes, plan.outputs, batch.rows)

    async def _run_versions(
        self, assembled: Assembled, batch: Batch, plan: InferencePlan
    ) -> list[Outcome]:
        versions = plan.choice.versions
        ids = [batch.rows.request_ids[row] for row in assembled.rows.tolist()]
        assigned = plan.choice.assign(ids)
        shares = [(version, assigned == place) for place, version in enumerate(versions)]
        results = await _all(
            [
                self._run_version(version, assembled.take(share), batch, plan)
                for version, share in shares
                if share.any()
            ]
        )
        return [outcome for outcomes in results for outcome in outcomes]

    async def _run_version(
        self, version: str, assembled: Assembled, batch: Batch, plan: InferencePlan
    ) -> list[Outcome]:
        try:
            metadata = await self._watch.find(plan.model, version)
            plan.require_match(metadata)
        except TailraceError as error:
            return [Outcome(assembled.rows, error=error)]
        most = metadata.max_rows or len(assembled.rows)
        if len(assembled.rows) <= most:
            return [await self._run(metadata, assembled, batch, plan)]
        turn = asyncio.Semaphore(CALLS_AT_ONCE)

        async def in_turn(part: Assembled) -> Outcome:
            async with turn:
                return await self._run(metadata, part, batch, plan)

        starts = range(0, len(assembled.rows), most)
        parts = [assembled.take(slice(start, start + most)) for start in starts]
        return await _all([in_turn(part) for part in parts])

    async def _run(
        self, metadata: ModelMetadata, assembled: Assembled, batch: Batch, plan: InferencePlan
    ) -> Outcome:
        """Returns what one call came to; a failed one is an outcome like any other."""
        call = ModelCall(
            metadata=metadata,
            inputs=assembled.tensors,
            outputs=plan.output_names,
            deadline=_latest(batch.rows, assembled.rows),
            priority=_priority(batch.rows, assembled.rows),
            trace=batch.trace.child() if batch.trace is not None else None,
        )
        try:
            answer = await self._call_in_turn(call, batch)
            outputs, bad = checked_outputs(answer, plan.output_checks, len(assembled.rows))
        except TailraceError as error:
            if isinstance(error, Unavailable | FailedPrecondition | ModelOutputInvalid):
                self._watch.suspect(plan.model)
            return Outcome(assembled.rows, error=error)
        return Outcome(assembled.rows, answer.version, outputs, bad)

    async def _call_in_turn(self, call: ModelCall, batch: Batch) -> ModelAnswer:
        gate = self._gates.get(call.metadata)
        if gate is None:
            gate = self._gates[call.metadata] = self._limits.gate(call.metadata)
        waited_ns = await gate.enter(call.deadline, call.priority)
        # Calls of one batch wait beside each other.
        batch.waited_ns = max(batch.waited_ns, waited_ns)
        started = time.monotonic()
        code = Code.CANCELLED
        try:
            if call.trace is None:
                answer = await self._backend.infer(call)
            else:
                answer = await self._infer_traced(call, call.trace, waited_ns)
            code = Code.OK
            return answer
        except TailraceError as error:
            code = error.code
            raise
        finally:
            gate.leave()
            trace_id = "" if call.trace is None else call.trace.trace_id
            call_timer(call.metadata.model, code).observe(time.monotonic() - started, 1, trace_id)

    async def _infer_traced(
        self, call: ModelCall, place: TraceContext, waited_ns: int
    ) -> ModelAnswer:
        metadata = call.metadata
        attributes: dict[str, AttributeValue] = {
            names.MODEL: metadata.model,
            names.MODEL_VERSION: metadata.version,
            names.ROWS: max(map(len, call.inputs.values()), default=0),
            names.QUEUE_NS: waited_ns,
        }
        name = names.MODEL_CALL.format(model=metadata.model)
        with timed_span(self._tracing, name, place, SpanKind.CLIENT, attributes):
            return await self._backend.infer(call)


def _latest(rows: Rows, asked: NDArray[np.intp]) -> Deadline:
    deadlines_ns = rows.deadlines_ns
    if len(asked) == len(rows):
        return Deadline(max(deadlines_ns))
    return Deadline(max([deadlines_ns[row] for row in asked.tolist()]))


def _priority(rows: Rows, asked: NDArray[np.intp]) -> int:
    """Returns the priority of the most important row."""
    if not rows.priorities:
        return PRIORITY_NORMAL
    return min(rows.priorities[row] or PRIORITY_NORMAL for row in asked.tolist())


async def _all(calls: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Returns the results in order; when one raises, the others are cancelled first."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
