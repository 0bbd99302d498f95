"""The pointer: which generation of a view's rows counts, and what is known about it.

One key per view holds it as JSON, so that a load goes live with one write, and a lookup reads
it in the same command as its rows.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from tailrace.runtime.errors import FeaturesCorrupt

# What JSON of any other content can come to: an infinity is no integer, and lists may be nested
# until the parser gives up.
_UNREADABLE = (
    ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pointer:
    """What is stored about the rows of a view.

    Attributes:
        generation: names the rows that count; no number is used twice.
        schema_id: schema of the rows.
        rows: number of rows.
        loaded_at_us: when they went live, microseconds since 1970.
        source: name of the file they were loaded from.
        digest: changes with the source and with how it was read.
        watermark_us: the latest timestamp of the rows, microseconds since 1970: an incremental
            load takes what is not older. None if the rows have no timestamps of their own.
        timestamp_column: the column that the timestamps came from, or None.
        increments: how many incremental loads have changed this generation.
    """

    generation: int
    schema_id: int
    rows: int
    loaded_at_us: int
    source: str
    digest: str
    watermark_us: int | None = None
    timestamp_column: str | None = None
    increments: int = 0

    def to_json(self) -> bytes:
        """Returns the pointer as it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, view: str, data: bytes) -> Pointer:
        """Returns the stored pointer. Raises FeaturesCorrupt."""
        try:
            content = json.loads(data)
            watermark_us = content.get("watermark_us")
            timestamp_column = content.get("timestamp_column")
            return cls(
                generation=int(content["generation"]),
                schema_id=int(content["schema_id"]),
                rows=int(content["rows"]),
                loaded_at_us=int(content["loaded_at_us"]),
                source=str(content["source"]),
                digest=str(content["digest"]),
                watermark_us=None if watermark_us is None else int(watermark_us),
                timestamp_column=None if timestamp_column is None else str(timestamp_column),
                increments=int(content.get("increments", 0)),
            )
        except _UNREADABLE as error:
            raise FeaturesCorrupt(
                f"what is stored about view {view!r} cannot be read: {type(error).__name__}",
                field=f"features.{view}",
            ) from error


@dataclass(frozen=True, slots=True)
class KeyNames:
    """The names of all keys that a view has in the store.

    Those of one view that change together share a hash tag; its rows do not, and so spread
    over the slots of a cluster.

    Attributes:
        prefix: what all keys begin with.
    """

    prefix: str

    def pointer(self, view: str) -> str:
        """Returns the key of the pointer."""
        return f"{self.prefix}:fv:{{{view}}}"

    def lock(self, view: str) -> str:
        """Returns the key of the lock that keeps loads apart."""
        return f"{self.prefix}:fv:{{{view}}}:lock"

    def loading(self, view: str) -> str:
        """Returns the key that holds the generation of an unfinished load."""
        return f"{self.prefix}:fv:{{{view}}}:loading"

    def progress(self, view: str) -> str:
        """Returns the key that holds how far an unfinished load has come."""
        return f"{self.prefix}:fv:{{{view}}}:progress"

    def added(self, view: str) -> str:
        """Returns the key that counts the rows added in place and not yet told by the pointer."""
        return f"{self.prefix}:fv:{{{view}}}:added"

    def statistics(self, view: str) -> str:
        """Returns the key of what is known about the values of the rows."""
        return f"{self.prefix}:fv:{{{view}}}:statistics"

    def rows(self, view: str) -> str:
        """Returns what the keys of all rows begin with, whatever their generation."""
        return f"{self.prefix}:fv:{view}:"

    def generation(self, view: str, generation: int) -> str:
        """Returns what the keys of the rows of one generation begin with."""
        return f"{self.prefix}:fv:{view}:{generation}:"

    def windows(self, view: str, generation: int) -> str:
        """Returns what all keys of a windowed view's generation begin with.

        The key of an entity follows, and `}`: what is kept of one entity shares a hash tag.
        """
        return f"{self.prefix}:fw:{{{view}:{generation}:"

    def all_windows(self, view: str) -> str:
        """Returns what all keys of a windowed view begin with, whatever their generation."""
        return f"{self.prefix}:fw:{{{view}:"
