"""What came of one attempt at pushing."""

from __future__ import annotations

from dataclasses import dataclass

TIMEOUT = "TIMEOUT"
REFUSED_ADDRESS = "REFUSED_ADDRESS"
NO_ADDRESS = "NO_ADDRESS"
CONNECT_ERROR = "CONNECT_ERROR"
CONNECTION_LOST = "CONNECTION_LOST"
TLS_ERROR = "TLS_ERROR"
BAD_RESPONSE = "BAD_RESPONSE"
BAD_TARGET = "BAD_TARGET"
UNREADABLE_RESULT = "UNREADABLE_RESULT"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOutcome:
    """What came of an attempt.

    Attributes:
        delivered: whether the receiver confirmed it.
        result: `HTTP` and a status, `gRPC` and a code, or one of this module's words; never holds
            anything that the receiver has chosen.
        retry_after_s: how long the receiver wants to be left alone, or None if it did not say.
        gone: whether the receiver wants no more deliveries.
    """

    delivered: bool
    result: str
    retry_after_s: float | None = None
    gone: bool = False


def failed(result: str) -> PushOutcome:
    """Returns a failure that says no more than why."""
    return PushOutcome(delivered=False, result=result)
