"""OpenTelemetry's own spans, as a program that calls us has them: which were begun, which ended."""

from __future__ import annotations

import asyncio
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider


class NotedSpans(SpanProcessor):
    """Notes spans; spans of threads, too.

    Attributes:
        provider: whose spans these are.
        begun: names, in order.
        ended: the spans, in order of their ends.
    """

    def __init__(self) -> None:
        """Makes a provider of its own, which tells this only."""
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self)
        self.begun: list[str] = []
        self.ended: list[Any] = []
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Notes that a span was begun."""
        self.begun.append(span.name)

    def on_end(self, span: ReadableSpan) -> None:
        """Notes that a span has ended."""
        self.ended.append(span)
        self._loop.call_soon_threadsafe(self._news.set)

    async def until_ended(self, count: int) -> None:
        """Returns once so many spans have ended."""
        while len(self.ended) < count:
            self._news.clear()
            await self._news.wait()
