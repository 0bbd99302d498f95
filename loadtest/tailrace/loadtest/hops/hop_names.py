"""What the parts of an answer's time are called, in objectives and in reports."""

from __future__ import annotations

from tailrace.runtime.placement import HOPS

PARTS = ("queue", "network", "work")
"""What a hop's duration is made of, as in `tailrace.v1.LedgerEntry`."""

SPANS = (
    "total",
    "convoy_wait",
    *(name for hop in HOPS for name in (hop, *(f"{hop}.{part}" for part in PARTS))),
    "unattributed",
    "outside",
)
"""What has a histogram.

`total`: in the gateway. `features`: from when the gateway turned to the hop until it had its
answer, and `features.queue` one part of that. `outside`: the call's latency without `total`.
"""

COSTS = (
    "convoy_wait",
    *(f"{hop}.{part}" for hop in HOPS for part in PARTS),
    "unattributed",
    "outside",
)
"""What the time of an answer is made of, where hops count on the critical path only."""
