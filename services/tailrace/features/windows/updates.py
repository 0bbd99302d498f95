"""Events as one windowed view sees them, and what became of each: the contract of the writer."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from tailrace.features.windows.schema import WindowSchema
from tailrace.runtime.errors import FeaturesCorrupt, SchemaChanged

EVENT_ID_BYTES = 16
_TIE_BREAK_BYTES = 6


def event_digest(event_id: str) -> bytes:
    """Returns what stands for an event's id in the store: its MD5 digest, `EVENT_ID_BYTES` long.

    MD5, as DuckDB has it, too, and as ids are not secrets.
    """
    return hashlib.md5(event_id.encode(), usedforsecurity=False).digest()


def tie_break(digest: bytes) -> int:
    """Returns what tells apart events of one instant: the first 48 bits of the digest.

    In SQL: `('0x' || left(md5(id), 12))::BIGINT`.
    """
    return int.from_bytes(digest[:_TIE_BREAK_BYTES], "big")


class Outcome(enum.IntEnum):
    """What became of one event for one entity."""

    APPLIED = 0
    DUPLICATE = 1
    """Its id was there already; nothing was changed."""
    LATE = 2
    """Further behind the newest event of its entity than the view allows; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Update:
    """One event for one entity.

    Attributes:
        key: of the entity, as `KeyEncoder` writes it.
        event_id: `EVENT_ID_BYTES` bytes that stand for the event's id, see `event_digest`.
        event_time_us: when it happened, microseconds since 1970.
        values: one per input of the schema; NaN where the event has none.
        distinct: one per distinct input: the value as bytes, None where the event has none.
    """

    key: str
    event_id: bytes
    event_time_us: int
    values: Sequence[float]
    distinct: Sequence[bytes | None] = ()


Applied: TypeAlias = Outcome | FeaturesCorrupt | SchemaChanged
"""What became of one event, or why its entity cannot be written: it was left as it is."""


class WindowWriter(Protocol):
    """Writes events into windowed views."""

    async def apply(self, schema: WindowSchema, updates: Sequence[Update]) -> list[Applied]:
        """Applies events, in order, and returns what became of each; then readers see them.

        The events of one entity are applied in one step; those of different entities are each on
        their own, and may be applied again after a failure: ids that are there are not counted
        twice. An entity that cannot be read, or was made by another definition of the view, keeps
        no other from being written.

        Raises:
            Unavailable: the store cannot be reached or cannot serve; some may have been applied.
            SchemaChanged: the view's generation was made by another definition of it.
            FeaturesCorrupt: what is stored about the view itself cannot be read.
        """
        ...
