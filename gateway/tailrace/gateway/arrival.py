"""Requests that arrived in one message: each waits for its one outcome, until its deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tailrace.gateway.convoy import ConvoyRow, Outcome
from tailrace.gateway.deadline_watch import TICK_NS as TICK_NS
from tailrace.gateway.deadline_watch import DeadlineWatch
from tailrace.gateway.outcome_account import OutcomeAccount
from tailrace.runtime.errors import Cancelled, DeadlineExceeded, TailraceError
from tailrace.runtime.tracing.trace_context import TraceContext, new_trace


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A request that cannot be admitted.

    Attributes:
        pipeline: that was asked, or another word where there is none of that name.
        request_id: as sent.
        received_ns: when it was received, on the monotonic clock.
        place: of the request in its call.
        error: why.
        trace: the place of its own span.
    """

    pipeline: str
    request_id: str
    received_ns: int
    place: int
    error: TailraceError
    trace: TraceContext = field(default_factory=new_trace)


class Arrival:
    """Watches over the requests of one message, and hands their outcomes on.

    A row whose deadline passes is answered at that moment, wherever it is.
    """

    def __init__(
        self,
        account: OutcomeAccount,
        deliver: Callable[[int, str, Outcome], None],
        deadlines: DeadlineWatch | None = None,
    ) -> None:
        """Has no rows yet.

        Args:
            account: takes note of every outcome.
            deliver: takes each outcome, with place and id of its request.
            deadlines: what tells of deadlines, where it is shared with others.
        """
        self._account = account
        self._deliver = deliver
        self._deadlines = DeadlineWatch() if deadlines is None else deadlines
        self._rows: list[ConvoyRow] = []
        self._unanswered = 0
        self._tick: int | None = None

    @property
    def waits(self) -> bool:
        """Whether any row has no outcome yet."""
        return self._unanswered > 0

    def add(self, row: ConvoyRow, place: int) -> None:
        """Takes a row in; it gets its outcome later."""
        row.recipient, row.place = self, place
        self._rows.append(row)
        self._unanswered += 1

    def refuse(self, row: RefusedRow) -> None:
        """Hands on the error of a request that never became a row."""
        self._account.take(row, row.error)
        self._deliver(row.place, row.request_id, row.error.of_trace(row.trace.trace_id))

    def receive(self, row: ConvoyRow, outcome: Outcome) -> None:
        """Takes the outcome of one row."""
        self._unanswered -= 1
        if not self._unanswered:
            self._disarm()
            # Rows point back here: collecting such rings takes longer than opening them.
            self._rows.clear()
        self._account.take(row, outcome)
        if isinstance(outcome, TailraceError):
            outcome = outcome.of_trace(row.trace.trace_id)
        self._deliver(row.place, row.request_id, outcome)

    def watch(self) -> None:
        """Begins to watch the deadlines; call once all rows are in."""
        if self._unanswered:
            earliest_ns = min([row.deadline_ns for row in self._rows if not row.settled])
            self._tick = self._deadlines.add(self, earliest_ns)

    def abandon(self) -> None:
        """Ends every row that has no outcome yet: nobody waits for it any more."""
        # A caller whose deadline passes cancels, often a moment before this process sees it.
        now_ns = time.monotonic_ns()
        for row in self._rows:
            if not row.settled:
                late = row.deadline_ns <= now_ns
                row.leave(_late() if late else Cancelled("cancelled"))

    def expire(self) -> None:
        """Ends the rows whose deadline is here."""
        self._tick = None
        due_ns = time.monotonic_ns() + TICK_NS
        for row in self._rows:
            if not row.settled and row.deadline_ns <= due_ns:
                row.leave(_late())
        self.watch()

    def _disarm(self) -> None:
        if self._tick is not None:
            self._deadlines.remove(self, self._tick)
            self._tick = None


class CallArrival(Arrival):
    """The requests of one call, answered together."""

    def __init__(
        self, account: OutcomeAccount, count: int, deadlines: DeadlineWatch | None = None
    ) -> None:
        """Has no outcomes yet.

        Args:
            account: takes note of every outcome.
            count: number of requests of the call; if none, there is nothing to wait for.
            deadlines: what tells of deadlines, where it is shared with others.
        """
        super().__init__(account, self._keep, deadlines)
        self._outcomes: list[Outcome | None] = [None] * count
        self._missing = count
        self._complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not count:
            self._complete.set_result(None)

    async def outcomes(self) -> list[Outcome]:
        """Returns the outcomes in the order of the requests.

        Raises:
            asyncio.CancelledError: the caller left; its rows end here.
        """
        try:
            await self._complete
        except asyncio.CancelledError:
            self.abandon()
            raise
        return [outcome for outcome in self._outcomes if outcome is not None]

    def _keep(self, place: int, request_id: str, outcome: Outcome) -> None:
        self._outcomes[place] = outcome
        self._missing -= 1
        if not self._missing and not self._complete.done():
            self._complete.set_result(None)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("the deadline passed")
