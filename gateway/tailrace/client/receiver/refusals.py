"""What a handler may raise to say more than that it failed."""

from __future__ import annotations


class TryLater(Exception):
    """The result cannot be taken now.

    Attributes:
        retry_after_s: how long to wait at least before it is pushed again, in seconds; None
            leaves that to the courier.
    """

    def __init__(self, retry_after_s: float | None = None) -> None:
        """Keeps the wait."""
        super().__init__("not now")
        self.retry_after_s = retry_after_s


class CallbackGone(Exception):
    """No result is wanted any more: the callback becomes disabled."""
