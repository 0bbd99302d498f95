"""What takes finished spans out of the process, seen from the queue that they wait in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from tailrace.runtime.tracing.span import Span


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of a batch.

    Attributes:
        failed: spans that were not taken.
        problem: why, or empty.
    """

    failed: int = 0
    problem: str = ""


class SpanExporter(Protocol):
    """Hands batches on, from one thread."""

    @property
    def target(self) -> str:
        """Where they go, for the log."""
        ...

    def export(self, spans: Iterable[Span], count: int, offset_ns: int) -> Exported:
        """Returns what became of the spans, after trying again where that makes sense.

        Args:
            spans: to be read once; they may come slowly.
            count: how many they are.
            offset_ns: from the monotonic clock to nanoseconds since 1970.
        """
        ...

    def abandon(self) -> None:
        """Ends, from another thread, the waits between attempts of an export under way."""
        ...

    def close(self) -> None:
        """Gives back what it holds; called once, after the last export."""
        ...
