"""What lookups need of the outside world: stored rows by key, of one generation per view.

`RedisFeatureStore` is the store; this contract keeps Redis out of everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.features.pointer import Pointer


@dataclass(frozen=True, slots=True)
class ViewKeys:
    """Rows to read of one view.

    Attributes:
        view: name of the view.
        keys: key of each row, as `KeyEncoder` writes it; None where nothing is to be read.
            A key may occur many times.
    """

    view: str
    keys: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class ViewRows:
    """Rows read of one view.

    Attributes:
        pointer: the generation that they are all of; None if the view was never loaded.
        rows: the stored bytes of each key, None where there are none; as many as keys.
    """

    pointer: Pointer | None
    rows: Sequence[bytes | None]


class FeatureStore(Protocol):
    """Reads stored rows."""

    async def read(self, wanted: Sequence[ViewKeys]) -> list[ViewRows]:
        """Returns the rows of every view, in the order asked for.

        All rows of a view are of one generation that was wholly there: a view that is being
        loaded is read as it was before. May be cancelled at any time, as at a deadline.

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
