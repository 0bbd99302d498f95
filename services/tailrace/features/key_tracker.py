"""What a connection tells about the keys that were read by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class KeyTracker(Protocol):
    """Is told, in the order in which the server says so, what becomes of keys that were read.

    Redis says of every key that a connection has read when it changes, once, until the key is
    read again (client tracking). It says so by the connection that read, so that what it says
    stands in one order with the replies.
    """

    def tracking_began(self) -> None:
        """A new connection is tracked from its first read on."""
        ...

    def tracking_refused(self, problem: str) -> None:
        """A new connection is not tracked; `problem` is the first word of the server's answer."""
        ...

    def keys_changed(self, keys: Sequence[bytes] | None) -> None:
        """These keys have changed or gone; None: any may have."""
        ...

    def tracking_ended(self) -> None:
        """The tracked connection is lost: nothing more will be said of what was read by it."""
        ...
