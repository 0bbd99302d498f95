"""What lookups need of the outside world: stored rows by key, of one generation per view.

`RedisFeatureStore` is the store; this contract keeps Redis out of everything else. What is read
of a view, and what the replies say, depends on how the view is kept: each kind of view has a
`ViewRead` of its own, and the store reads those of all views in one round trip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tailrace.features.pointer import KeyNames, Pointer
from tailrace.runtime.tracing.trace_context import TraceContext

Argument = str | bytes | int


class PackedCommand(bytes):
    """A command in the bytes that Redis reads, for those whose parts are known beforehand."""

    __slots__ = ()


Command = Sequence[Argument] | PackedCommand


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in place of a reply where what is stored under a command's keys is of another kind.

    Attributes:
        error_code: the first word of the store's answer.
    """

    error_code: str


class Fetch(Protocol):
    """What one view needs of Redis in one lookup."""

    @property
    def keys(self) -> Sequence[str]:
        """Keys to read by MGET, each once."""
        ...

    @property
    def commands(self) -> Sequence[Command]:
        """Further commands, sent in the same round trip."""
        ...

    def rows(self, values: Sequence[bytes | None], replies: Sequence[Any]) -> Sequence[Any | None]:
        """Returns what was found for each key asked for, None where there is nothing.

        Args:
            values: one per key of `keys`.
            replies: one per command of `commands`; an `Unreadable` where its keys hold something
                else, of which the rows concerned are told when they are decoded.
        """
        ...


class ViewRead(Protocol):
    """Rows to read of one view."""

    @property
    def view(self) -> str:
        """Name of the view."""
        ...

    @property
    def keys(self) -> Sequence[str | None]:
        """Key of each row, as `KeyEncoder` writes it; None where nothing is to be read.

        A key may occur many times.
        """
        ...

    @property
    def has_pointer(self) -> bool:
        """Whether a pointer says which generation counts; it is read with the rows."""
        ...

    def fetch(self, names: KeyNames, pointer: Pointer | None) -> Fetch:
        """Returns what to read, given the pointer as it was last seen.

        Called with a pointer if and only if `has_pointer`.
        """
        ...


@dataclass(frozen=True, slots=True)
class ViewRows:
    """Rows read of one view.

    Attributes:
        pointer: the generation that they are all of; None if the view was never loaded, or has
            no pointer.
        rows: what was found of each key, as the view's own kind stores it, None where there is
            nothing; as many as keys.
    """

    pointer: Pointer | None
    rows: Sequence[Any | None]


class FeatureStore(Protocol):
    """Reads stored rows."""

    async def read(
        self, wanted: Sequence[ViewRead], trace: TraceContext | None = None
    ) -> list[ViewRows]:
        """Returns the rows of every view, in the order asked for.

        All rows of a view are of one generation that was wholly there: a view that is being
        loaded is read as it was before. May be cancelled at any time, as at a deadline.

        Args:
            wanted: what to read.
            trace: the place that the spans of reading are below; None where it is not traced.

        Raises:
            Unavailable: the store cannot be reached or cannot serve.
            FeaturesCorrupt: what the store says about a view cannot be read.
        """
        ...

    async def ping(self, timeout_s: float) -> None:
        """Returns if the store answers within `timeout_s` seconds, connecting if need be.

        Raises:
            Unavailable: it does not. What else waits for it fails, too, and the next call
                connects anew.
        """
        ...

    async def close(self) -> None:
        """Closes all connections; what waits for the store fails with Unavailable."""
        ...
