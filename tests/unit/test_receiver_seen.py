"""Which deliveries a receiver remembers."""

from __future__ import annotations

from tailrace.client.receiver import MemorySeenDeliveries


def test_ids_are_forgotten_when_their_time_is_over() -> None:
    now = 0.0
    seen = MemorySeenDeliveries(ttl_s=10, clock=lambda: now)
    seen.remember(["a"])
    now = 9.0
    seen.remember(["b"])
    assert seen.seen(["a", "b", "c"]) == {"a", "b"}
    now = 11.0
    assert seen.seen(["a", "b"]) == {"b"}
    seen.remember([])
    assert len(seen) == 1


def test_the_oldest_is_forgotten_where_there_are_too_many() -> None:
    seen = MemorySeenDeliveries(max_ids=2)
    seen.remember(["a", "b"])
    seen.remember(["a", "c"])
    assert seen.seen(["a", "b", "c"]) == {"a", "c"}
