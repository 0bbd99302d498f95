"""Hops that run inside the gateway's process."""

from __future__ import annotations

from tailrace.gateway.hop_port import HopRequest
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.error_mapping import unexpected
from tailrace.runtime.errors import TailraceError
from tailrace.runtime.hop_answer import HopAnswer
from tailrace.runtime.hop_parts import AnswerBatch
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.wire import to_block
from tailrace.v1 import ledger_pb2


class LocalHop:
    """Calls a hop's own handler. Rows and columns are handed over as they are, not as messages."""

    placement = ledger_pb2.PLACEMENT_LOCAL

    def __init__(self, answer: AnswerBatch, *, reads_requests: bool = False) -> None:
        """Keeps the parts.

        Args:
            answer: the handler, which keeps the time limit that it is told.
            reads_requests: whether it is handed the fields of the requests, as ingest is.
        """
        self._answer = answer
        self._reads_requests = reads_requests

    async def call(
        self, request: HopRequest, timeout_s: float, trace: TraceContext | None = None
    ) -> HopAnswer:
        """Returns the hop's answer; `trace` is what its handler finds as its context's.

        Raises:
            TailraceError: as the hop raised it; what it did not foresee as Internal.
        """
        convoy, rows = request.convoy, request.rows
        count = len(rows)
        fields = [row.fields for row in convoy.members(rows)] if self._reads_requests else ()
        try:
            blocks = [
                to_block(block, count, f"batch.blocks[{place}]")
                for place, block in enumerate(request.blocks)
            ]
            batch = Batch(
                convoy.pipeline.name,
                convoy.pipeline.version,
                convoy.contexts(rows),
                Columns(count, blocks),
            )
            return await self._answer(batch, fields, _LocalContext(timeout_s, trace))
        except TailraceError:
            raise
        except Exception as error:  # as at the edge of a service
            raise unexpected(error) from error


class _LocalContext:
    """What a handler may ask of its call.

    Attributes:
        trace: the place of the hop's span; None where the call is not traced.
    """

    def __init__(self, timeout_s: float, trace: TraceContext | None) -> None:
        self.trace = trace
        self._deadline = Deadline.after_s(timeout_s)

    def time_remaining(self) -> float:
        return self._deadline.remaining_s()
