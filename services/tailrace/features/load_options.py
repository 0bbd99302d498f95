"""How to load a source into a view."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tailrace.features.rejects import RejectsFile

LOCK_TTL_MS = 15_000


@dataclass(frozen=True, slots=True)
class BadRowLimit:
    """How many bad rows a load may have and still go live.

    Attributes:
        count: so many, or None.
        share: so great a part of all rows, 0 to 1; used where `count` is None.
    """

    count: int | None = None
    share: float = 0.01

    @classmethod
    def parse(cls, text: str) -> BadRowLimit:
        """Returns the limit written as `100` or `2.5%`. Raises ValueError."""
        if text.endswith("%"):
            share = float(text[:-1]) / 100
            if not 0 <= share <= 1:
                raise ValueError(f"{text} is not between 0% and 100%")
            return cls(share=share)
        count = int(text)
        if count < 0:
            raise ValueError(f"{text} is negative")
        return cls(count=count)

    def allows(self, bad: int, total: int) -> bool:
        """Returns whether a load of `total` rows may go live with `bad` of them refused."""
        return bad <= (self.share * total if self.count is None else self.count)


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load.

    Attributes:
        timestamp_column: says when each row was true; without it, that is the load itself.
        max_bad_rows: with more, the load fails.
        null_texts: what stands for null in a CSV file, where it is not in quotes.
        if_changed: do nothing where the same was loaded in the same way before.
        restart: begin anew also where a load that died could be gone on with.
        incremental: load only the rows that are new since the last load.
        overlap: how far before the latest timestamp an incremental load begins.
        new_generation: apply an incremental load to a copy, which goes live at once.
        rejects: told every row that is refused, or None.
        lock_ttl_ms: how long the lock outlives a load that dies, in milliseconds.
    """

    timestamp_column: str | None = None
    max_bad_rows: BadRowLimit = BadRowLimit()
    null_texts: tuple[str, ...] = ("",)
    if_changed: bool = False
    restart: bool = False
    incremental: bool = False
    overlap: timedelta = timedelta(0)
    new_generation: bool = False
    rejects: RejectsFile | None = None
    lock_ttl_ms: int = LOCK_TTL_MS
