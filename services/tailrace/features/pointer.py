"""The pointer: which generation of a view's rows counts, and what is known about it.

One key per view holds it as JSON, so that a load goes live with one write, and a lookup reads
it in the same command as its rows.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from tailrace.runtime.errors import FeaturesCorrupt


@dataclass(frozen=True, slots=True)
class Pointer:
    """What is stored about the rows of a view.

    Attributes:
        generation: names the rows that count; no number is used twice.
        schema_id: schema of the rows.
        rows: number of rows.
        loaded_at_us: when they went live, microseconds since 1970.
        source: name of the file they were loaded from.
        digest: changes with the file and with how it was read.
    """

    generation: int
    schema_id: int
    rows: int
    loaded_at_us: int
    source: str
    digest: str

    def to_json(self) -> bytes:
        """Returns the pointer as it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, view: str, data: bytes) -> Pointer:
        """Returns the stored pointer. Raises FeaturesCorrupt."""
        try:
            content = json.loads(data)
            return cls(
                generation=int(content["generation"]),
                schema_id=int(content["schema_id"]),
                rows=int(content["rows"]),
                loaded_at_us=int(content["loaded_at_us"]),
                source=str(content["source"]),
                digest=str(content["digest"]),
            )
        except (ValueError, TypeError, KeyError) as error:
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

    def rows(self, view: str) -> str:
        """Returns what the keys of all rows begin with, whatever their generation."""
        return f"{self.prefix}:fv:{view}:"

    def generation(self, view: str, generation: int) -> str:
        """Returns what the keys of the rows of one generation begin with."""
        return f"{self.prefix}:fv:{view}:{generation}:"
