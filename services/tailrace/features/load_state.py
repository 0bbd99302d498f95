"""What the store knows about a load that is not finished: enough to go on with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class UnfinishedLoad:
    """The content of the key `progress`, which is there only if the load can be gone on with.

    Attributes:
        generation: that the load writes; no other load uses its number.
        digest: changes with the source and with how it is read.
        rows_done: of the first so many rows of the source, all good ones are in the store.
        load_time_us: what stands for the timestamps of rows without, microseconds since 1970.
    """

    generation: int
    digest: str
    rows_done: int
    load_time_us: int

    def to_json(self) -> bytes:
        """Returns the state as it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> UnfinishedLoad | None:
        """Returns the stored state; None if it cannot be read: the load then begins anew."""
        try:
            content = json.loads(data)
            return cls(
                generation=int(content["generation"]),
                digest=str(content["digest"]),
                rows_done=int(content["rows_done"]),
                load_time_us=int(content["load_time_us"]),
            )
        except (ValueError, TypeError, KeyError):
            return None
