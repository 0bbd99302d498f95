"""Sends events to a mesh as time passes in them, not as it passes here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime

from tailrace.cli.known_events import KnownEvent
from tailrace.cli.local.errors import LaunchError
from tailrace.client import AsyncEventClient, PredictionError

_RETRY_S = 10.0


class EventsRefused(LaunchError):
    """A mesh does not take in events.

    Attributes:
        cause: why.
    """

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(f"the events could not be replayed: {cause}")


class EventFeed:
    """Events on their way to a mesh.

    Attributes:
        sent: how many events lookups see by now.
        seconds: how long the mesh took for them.
    """

    def __init__(self, client: AsyncEventClient, events: Sequence[KnownEvent]) -> None:
        """Sends nothing yet.

        Args:
            client: of the mesh's event service.
            events: in the order in which they became known.
        """
        self.sent = 0
        self.seconds = 0.0
        self._client = client
        self._events = events

    async def advance(self, instant: datetime) -> None:
        """Returns once lookups see all events that were known at an instant, and no other.

        Raises:
            EventsRefused: the mesh refused one of them, or cannot be reached.
        """
        began = time.perf_counter()
        last = self.sent
        while last < len(self._events) and self._events[last].known_at <= instant:
            last += 1
        if last == self.sent:
            return
        news = self._events[self.sent : last]
        # Those of different types go into different views, so that their order does not matter.
        types = {event.type for event in news}
        await asyncio.gather(
            *(self._send(name, [each for each in news if each.type == name]) for name in types)
        )
        self.sent = last
        self.seconds += time.perf_counter() - began

    async def _send(self, name: str, events: Sequence[KnownEvent]) -> None:
        try:
            messages = [each.event for each in events]
            report = await self._client.send(name, messages, retry_s=_RETRY_S)
        except PredictionError as error:
            raise EventsRefused(str(error)) from error
        for problem in report.problems:
            view = f" by the view {problem.view}" if problem.view else ""
            field = f"{problem.field}: " if problem.field else ""
            raise EventsRefused(f"{name} {problem.id} was refused{view}: {field}{problem.message}")
