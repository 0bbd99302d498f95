"""What every hop does around its work: decode, find the pipeline, keep deadlines, time, log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.batch import Batch
from tailrace.runtime.config import ServerSettings
from tailrace.runtime.deadline import NS_PER_S
from tailrace.runtime.errors import Cancelled, DeadlineExceeded, TailraceError
from tailrace.runtime.logs import failure_fields, sampled
from tailrace.runtime.metrics import ROW_FAILURES
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.wire import batch_from_proto
from tailrace.v1 import batch_pb2

Compiled = TypeVar("Compiled")
Result = TypeVar("Result")

_log = structlog.get_logger(__name__)


class CallContext(Protocol):
    """What a hop asks of the call that it answers; gRPC's servicer contexts have it."""

    def time_remaining(self) -> float | None:
        """Returns the seconds that the caller still waits; None if for ever."""
        ...


@dataclass(frozen=True, slots=True)
class HopOutcome(Generic[Result]):
    """What a hop's work came to.

    Attributes:
        batch: the rows, with the failures of this hop.
        result: what the work returned; None if no row was live.
        timing: for the response.
    """

    batch: Batch
    result: Result | None
    timing: batch_pb2.HopTiming


class HopRunner(Generic[Compiled]):
    """Runs the work of one hop on the batches that arrive."""

    def __init__(
        self, hop: str, registry: PipelineRegistry[Compiled], settings: ServerSettings
    ) -> None:
        """Keeps the parts.

        Args:
            hop: name of the hop, for logs and metrics.
            registry: the pipelines of this process.
            settings: limits and sample rate.
        """
        self._hop = hop
        self._registry = registry
        self._settings = settings

    async def run(
        self,
        message: batch_pb2.Batch,
        context: CallContext,
        work: Callable[[Batch, Compiled], Awaitable[Result]],
    ) -> HopOutcome[Result]:
        """Runs `work` on the live rows' batch, no longer than the latest of their deadlines.

        `work` marks the rows that fail in `batch.rows`. An error that it raises fails the
        whole call.

        Raises:
            InvalidBatch, InvalidTensor, NotFound, Unavailable: see there.
            DeadlineExceeded: no row had time left.
        """
        received_ns = time.monotonic_ns()
        batch = batch_from_proto(message, self._settings.max_batch_rows)
        try:
            result, timing = await self._work_on(batch, context, work, received_ns)
        except TailraceError as error:
            self._log_failed_call(batch, error)
            raise
        except asyncio.CancelledError:
            # By the caller, who may have seen the deadline pass a moment before this process.
            expired = int(batch.rows.deadlines_ns.max()) <= time.monotonic_ns()
            self._log_failed_call(batch, self._late() if expired else Cancelled("cancelled"))
            raise
        self._log_rows(batch, timing)
        return HopOutcome(batch, result, timing)

    async def _work_on(
        self,
        batch: Batch,
        context: CallContext,
        work: Callable[[Batch, Compiled], Awaitable[Result]],
        received_ns: int,
    ) -> tuple[Result | None, batch_pb2.HopTiming]:
        rows = batch.rows
        call_remaining_s = context.time_remaining()
        if call_remaining_s is not None:
            latest_ns = received_ns + int(call_remaining_s * NS_PER_S)
            rows.deadlines_ns = rows.deadlines_ns.clip(max=latest_ns)
        compiled = await self._registry.find_for_hop(batch.pipeline, batch.version)
        rows.fail_expired()
        live = rows.live()
        started_ns = time.monotonic_ns()
        result: Result | None = None
        if len(live):
            latest_s = (int(rows.deadlines_ns[live].max()) - started_ns) / NS_PER_S
            try:
                async with asyncio.timeout(latest_s):
                    result = await work(batch, compiled)
            except TimeoutError as error:
                raise self._late() from error
        done_ns = time.monotonic_ns()
        timing = batch_pb2.HopTiming(
            queue_ns=started_ns - received_ns, work_ns=done_ns - started_ns
        )
        return result, timing

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"the deadline passed during {self._hop}")

    def _log_failed_call(self, batch: Batch, error: TailraceError) -> None:
        ROW_FAILURES.labels(self._hop, error.reason.name).inc(len(batch.rows))
        for request_id in batch.rows.request_ids:
            self._log_failure(batch, request_id, error)

    def _log_rows(self, batch: Batch, timing: batch_pb2.HopTiming) -> None:
        rate = self._settings.log_sample_rate
        failures = batch.rows.failures
        for row, error in failures.items():
            ROW_FAILURES.labels(self._hop, error.reason.name).inc()
            self._log_failure(batch, batch.rows.request_ids[row], error)
        if rate <= 0:
            return
        for row, request_id in enumerate(batch.rows.request_ids):
            if row not in failures and sampled(request_id, rate):
                _log.info(
                    "hop done",
                    **self._identity(batch, request_id),
                    **{
                        names.EVENT_OUTCOME: "success",
                        names.EVENT_DURATION_NS: timing.queue_ns + timing.work_ns,
                        names.QUEUE_NS: timing.queue_ns,
                        names.WORK_NS: timing.work_ns,
                        names.ROWS: len(batch.rows),
                    },
                )

    def _log_failure(self, batch: Batch, request_id: str, error: TailraceError) -> None:
        _log.warning(
            "hop failed",
            **self._identity(batch, request_id),
            **failure_fields(error),
        )

    def _identity(self, batch: Batch, request_id: str) -> dict[str, str]:
        return {
            names.HOP: self._hop,
            names.REQUEST_ID: request_id,
            names.PIPELINE: batch.pipeline,
            names.PIPELINE_VERSION: batch.version,
        }
