"""The ledger: what each hop spent, so that the parts make up the whole exactly."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from tailrace.runtime.errors import TailraceError
from tailrace.runtime.logs import failure_text
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.v1 import ledger_pb2

HOP_NUMBERS = {
    "ingest": ledger_pb2.HOP_INGEST,
    "features": ledger_pb2.HOP_FEATURES,
    "inference": ledger_pb2.HOP_INFERENCE,
    "postprocess": ledger_pb2.HOP_POSTPROCESS,
}


class HopParts(NamedTuple):
    """What a hop spent, in nanoseconds; `network_ns` is all that the service did not measure."""

    duration_ns: int
    queue_ns: int
    network_ns: int
    work_ns: int


@dataclass(slots=True)
class HopSpending:
    """One hop of one convoy, in nanoseconds of the monotonic clock.

    Attributes:
        hop: name of the hop.
        start_ns: when the gateway turned to it.
        end_ns: when the gateway had its answer; 0 while it runs.
        queue_ns: waiting inside the service, last attempt.
        work_ns: working inside the service, last attempt.
        attempts: calls made.
        budget_ns: budget granted.
        placement: where it ran.
        code: gRPC status code of the outcome.
        group: hops of one group ran beside each other.
        rows: that the hop was asked about.
        reason: name of the reason why it failed, or empty.
        message: what may be told of what went wrong, or empty.
        trace: the place of its span, where it was decided on before the call.
    """

    hop: str
    start_ns: int
    group: int
    end_ns: int = 0
    queue_ns: int = 0
    work_ns: int = 0
    attempts: int = 0
    budget_ns: int = 0
    placement: ledger_pb2.Placement.ValueType = ledger_pb2.PLACEMENT_REMOTE
    code: int = 0
    rows: int = 0
    reason: str = ""
    message: str = ""
    trace: TraceContext | None = None

    def finish(self, code: int = 0, queue_ns: int = 0, work_ns: int = 0) -> None:
        """Notes the end, now, and what the hop said it spent."""
        self.end_ns = time.monotonic_ns()
        self.code = code
        self.queue_ns, self.work_ns = queue_ns, work_ns

    def fail(self, error: TailraceError) -> None:
        """Notes the end, now, and why."""
        self.finish(error.code)
        # Not the error itself: it leads to the frames that it came through, and they lead here.
        self.reason, self.message = error.reason.name, failure_text(error)

    @property
    def duration_ns(self) -> int:
        """From start to end."""
        return self.end_ns - self.start_ns

    def parts(self, until_ns: int) -> HopParts:
        """Returns its parts, which make up the whole exactly.

        Args:
            until_ns: what counts as its end while it runs, on the monotonic clock.
        """
        duration_ns = (self.end_ns or until_ns) - self.start_ns
        # A service's clock ticks for itself: its share never exceeds what was seen here.
        queue_ns = min(self.queue_ns, duration_ns)
        work_ns = min(self.work_ns, duration_ns - queue_ns)
        return HopParts(duration_ns, queue_ns, duration_ns - queue_ns - work_ns, work_ns)


@dataclass(slots=True)
class LedgerBook:
    """The spending of one convoy.

    Attributes:
        spent: hops in order of start.
    """

    spent: list[HopSpending] = field(default_factory=list)

    def open(self, hop: str, start_ns: int, group: int, rows: int = 0) -> HopSpending:
        """Returns a new line for a hop that the gateway turned to at `start_ns`.

        Args:
            hop: name of the hop.
            start_ns: on the monotonic clock.
            group: hops of one group run beside each other.
            rows: that it is asked about.
        """
        spending = HopSpending(hop, start_ns, group, rows=rows)
        self.spent.append(spending)
        return spending

    def entries(self, departed_ns: int) -> list[ledger_pb2.LedgerEntry]:
        """Returns one entry per hop turned to, in order of start.

        Of the hops of a group, which ran beside each other, the one that ended last is
        critical.

        Args:
            departed_ns: when the convoy departed, on the monotonic clock.
        """
        critical = self._critical()
        entries = []
        for spending in self.spent:
            parts = spending.parts(spending.end_ns)
            entries.append(
                ledger_pb2.LedgerEntry(
                    hop=HOP_NUMBERS[spending.hop],
                    start_ns=spending.start_ns - departed_ns,
                    duration_ns=parts.duration_ns,
                    queue_ns=parts.queue_ns,
                    network_ns=parts.network_ns,
                    work_ns=parts.work_ns,
                    attempts=spending.attempts,
                    budget_ns=max(spending.budget_ns, 0),
                    placement=spending.placement,
                    critical=critical[spending.group] is spending,
                    code=spending.code,
                )
            )
        return entries

    def critical_ns(self) -> int:
        """Returns the sum of the durations on the critical path."""
        return sum([spending.duration_ns for spending in self._critical().values()])

    def is_critical(self, spending: HopSpending) -> bool:
        """Returns whether a hop is critical, as things are now."""
        return self._critical()[spending.group] is spending

    def _critical(self) -> dict[int, HopSpending]:
        """Returns the hop of each group that ended last."""
        last_of_group: dict[int, HopSpending] = {}
        for spending in self.spent:
            last = last_of_group.get(spending.group)
            if last is None or _ends_after(spending, last):
                last_of_group[spending.group] = spending
        return last_of_group


def _ends_after(spending: HopSpending, other: HopSpending) -> bool:
    # What still runs ends last.
    return bool(other.end_ns) and (not spending.end_ns or spending.end_ns > other.end_ns)
