"""How the chain reaches a hop, wherever it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.gateway.convoy import Convoy
from tailrace.runtime.hop_answer import HopAnswer, PassedBlock
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.v1 import ledger_pb2


@dataclass(frozen=True, slots=True)
class HopRequest:
    """What the chain asks of a hop.

    Attributes:
        convoy: whose rows.
        rows: which of them, by index.
        blocks: columns of these rows.
    """

    convoy: Convoy
    rows: list[int]
    blocks: Sequence[PassedBlock] = ()


class HopPort(Protocol):
    """Calls one hop once.

    Attributes:
        placement: where the hop runs.
    """

    placement: ledger_pb2.Placement.ValueType

    async def call(
        self, request: HopRequest, timeout_s: float, trace: TraceContext | None = None
    ) -> HopAnswer:
        """Returns the hop's answer.

        Args:
            request: the rows and their columns.
            timeout_s: seconds that the call may take; more than zero.
            trace: the place of the hop's span, which the hop's own are below; None where the call
                is not traced.

        Raises:
            TailraceError: the whole call failed.
            asyncio.CancelledError: cancelled here; the hop is told.
        """
        ...
