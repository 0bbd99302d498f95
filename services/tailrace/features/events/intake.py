"""Takes in batches of events: reads them, hands them to their views, and says what became of each.

The same for events that come by gRPC and from Redis streams.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from tailrace.features.events.applier import Applier, Lane
from tailrace.features.events.catalog import EventCatalog, ServedEvent
from tailrace.features.events.event_metrics import EVENTS, LAG_SECONDS, UPDATES
from tailrace.features.events.event_reader import ReadEvents
from tailrace.features.events.problem import BatchOutcome, EventProblem
from tailrace.features.windows.updates import Applied, Outcome
from tailrace.runtime.deadline import NS_PER_US
from tailrace.runtime.errors import NotFound, Reason, TailraceError
from tailrace.runtime.pipeline.duration import duration_text
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.v1.event_service_pb2 import Event

UNKNOWN_EVENT = "_OTHER"
"""What metrics call event types that do not exist: their names are the sender's to choose."""

_OUTCOMES = {Outcome.APPLIED: "applied", Outcome.DUPLICATE: "duplicate", Outcome.LATE: "late"}
_REASONS = {Reason.EVENT_LATE: "late", Reason.EVENT_IN_FUTURE: "future"}


def wall_clock_us() -> int:
    """Returns this machine's clock, microseconds since 1970."""
    return time.time_ns() // NS_PER_US


class EventIntake:
    """Takes in events of every type that is served."""

    def __init__(
        self,
        catalog: EventCatalog,
        applier: Applier,
        now_us: Callable[[], int] = wall_clock_us,
    ) -> None:
        """Keeps the parts.

        Args:
            catalog: the event types.
            applier: hands updates to the store.
            now_us: this clock, microseconds since 1970.
        """
        self._catalog = catalog
        self._applier = applier
        self._now_us = now_us

    def event_type(self, name: str) -> EventType:
        """Returns an event type. Raises NotFound, with the nearest name."""
        return self._catalog.find(name).type

    def begin(self, event: str, events: Sequence[Event], lane: Lane) -> TakenBatch:
        """Returns a batch whose updates stand in line now, behind those before it in the lane.

        A batch of an unknown type is refused as a whole: each of its events.

        Raises:
            TailraceError: something before it in the lane was not applied.
        """
        if lane.failure is not None:
            raise lane.failure
        try:
            served = self._catalog.find(event)
        except NotFound as error:
            problems = [
                EventProblem(place, "", error.reason, error.message, error.field)
                for place in range(len(events))
            ]
            EVENTS.labels(UNKNOWN_EVENT, "invalid").inc(len(events))
            return TakenBatch(None, None, {}, problems, self._now_us)
        read = served.reader.read(events, self._now_us())
        pending = {}
        if read.places:
            for name, view in served.views.items():
                pending[name] = self._applier.submit(lane, view.schema, view.updates(read))
        return TakenBatch(served, read, pending, read.problems, self._now_us)


class TakenBatch:
    """A batch on its way into the store."""

    def __init__(
        self,
        served: ServedEvent | None,
        read: ReadEvents | None,
        pending: dict[str, asyncio.Future[list[Applied]]],
        problems: list[EventProblem],
        now_us: Callable[[], int],
    ) -> None:
        """Keeps the parts; `EventIntake.begin` makes them."""
        self._served = served
        self._read = read
        self._pending = pending
        self._problems = problems
        self._now_us = now_us

    async def outcome(self) -> BatchOutcome:
        """Returns what became of the batch, once lookups see its events.

        Raises:
            TailraceError: some of it was perhaps not applied.
        """
        outcome = BatchOutcome(refused=len(self._problems), problems=list(self._problems))
        if self._served is None or self._read is None:
            return outcome
        results = await asyncio.gather(*self._pending.values(), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        applied = dict(zip(self._pending, [r for r in results if isinstance(r, list)], strict=True))
        self._count(outcome, self._served, self._read, applied)
        return outcome

    def _count(
        self,
        outcome: BatchOutcome,
        served: ServedEvent,
        read: ReadEvents,
        applied: dict[str, list[Applied]],
    ) -> None:
        counts = {"accepted": 0, "duplicate": 0}
        for problem in self._problems:
            _add(counts, _REASONS.get(problem.reason, "invalid"))
        lag = LAG_SECONDS.labels(served.type.event)
        now_us = self._now_us()
        if not applied:
            counts["accepted"] += len(read.places)
        for number, per_view in enumerate(zip(*applied.values(), strict=True)):
            if Outcome.APPLIED in per_view:
                _add(counts, "accepted")
                lag.observe(max(0, now_us - read.known_at_us[number]) / 1e6)
            if all(each is Outcome.APPLIED or each is Outcome.DUPLICATE for each in per_view):
                if Outcome.APPLIED not in per_view:
                    _add(counts, "duplicate")
                continue
            problems = [
                self._problem(served, read.places[number], view, each)
                for view, each in zip(applied, per_view, strict=True)
                if each is not Outcome.APPLIED and each is not Outcome.DUPLICATE
            ]
            outcome.problems += problems
            if Outcome.APPLIED not in per_view:
                outcome.refused += 1
                late = any(problem.reason is Reason.EVENT_LATE for problem in problems)
                _add(counts, "late" if late else "refused")
        outcome.accepted = counts["accepted"]
        outcome.duplicates = counts["duplicate"]
        outcome.problems.sort(key=lambda problem: problem.index)
        for name, count in counts.items():
            EVENTS.labels(served.type.event, name).inc(count)
        for view, results in applied.items():
            tally: dict[str, int] = {}
            for each in results:
                _add(tally, _OUTCOMES[each] if isinstance(each, Outcome) else "failed")
            for name, count in tally.items():
                UPDATES.labels(view, name).inc(count)

    def _problem(
        self, served: ServedEvent, place: int, view: str, found: Outcome | TailraceError
    ) -> EventProblem:
        if isinstance(found, TailraceError):
            return EventProblem(place, view, found.reason, found.message, found.field)
        lateness = duration_text(served.views[view].lateness)
        message = f"it lies more than {lateness} behind the newest event of its entity"
        return EventProblem(place, view, Reason.EVENT_LATE, message, "event_time")


def _add(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
