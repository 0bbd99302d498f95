"""What calls of hops usually fail of: series of these reasons begin at zero.

Prometheus takes no growth from a series that begins above zero, so that the first failures of
another reason are seen one scrape late.
"""

from __future__ import annotations

from tailrace.runtime.errors import Reason

_OF_ANY = (
    Reason.HOP_UNAVAILABLE,
    Reason.DEADLINE_EXCEEDED,
    Reason.BUDGET_TOO_SMALL,
    Reason.INTERNAL,
)
_OF_HOP = {
    "features": (Reason.FEATURE_STORE_UNAVAILABLE,),
    "inference": (
        Reason.MODEL_UNAVAILABLE,
        Reason.MODEL_QUEUE_FULL,
        Reason.MODEL_OUTPUT_INVALID,
        Reason.MODEL_NOT_FOUND,
    ),
}


def usual_failures(hop: str) -> tuple[str, ...]:
    """Returns names of the reasons for which calls of a hop usually fail."""
    return tuple(reason.name for reason in (*_OF_ANY, *_OF_HOP.get(hop, ())))
