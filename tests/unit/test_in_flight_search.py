"""How many convoys are found to be best at once, of worlds that answer as a formula says."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tailrace.gateway.in_flight_search import FIRST_PATIENCE, InFlightSearch

MS = 1_000_000
# Rows per second, and mean milliseconds that a row stays, by the number of convoys under way.
World = Callable[[int], tuple[float, float]]


def _closed(*rates: float) -> World:
    """A hundred callers who wait for their answers."""
    return lambda limit: (rates[limit - 1], 100_000 / rates[limit - 1])


def _open(*stays_ms: float) -> World:
    """A thousand requests a second, however long they take."""
    return lambda limit: (1000, stays_ms[limit - 1])


def _run(
    search: InFlightSearch, world: World, convoys: int, noise: float = 0.0, now_ns: int = 0
) -> list[int]:
    """Returns the number under way at each convoy's return."""
    source = random.Random(1)
    limits = []
    for _ in range(convoys):
        rate, stay_ms = world(search.limit)
        rate *= source.uniform(1 - noise, 1 + noise)
        stay_ms *= source.uniform(1 - noise, 1 + noise)
        now_ns += int(20 * 1e9 / rate)
        search.returned(20, int(20 * stay_ms * MS), now_ns)
        limits.append(search.limit)
    return limits


@pytest.mark.parametrize("first", [1, 2, 4])
@pytest.mark.parametrize(
    ("world", "best"),
    [
        (_closed(3000, 2500, 2400, 2300), 1),
        (_closed(1000, 2000, 2900, 3800), 4),
        (_closed(2000, 3000, 2900, 2400), 2),
        (_open(10, 14, 18, 22), 1),
        (_open(40, 30, 20, 10), 4),
    ],
    ids=["fewest", "most", "between", "open-fewest", "open-most"],
)
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_it_settles_on_what_answers_most_in_least_time(
    first: int, world: World, best: int, noise: float
) -> None:
    search = InFlightSearch(first, 4)
    _run(search, world, 600, noise)
    limits = _run(search, world, 2000, noise, now_ns=10**12)
    assert limits.count(best) > 0.75 * len(limits)


def test_more_is_not_kept_for_a_small_gain() -> None:
    limits = _run(InFlightSearch(1, 4), _closed(3000, 3050, 3100, 3150), 1000)
    assert max(limits) == 2
    assert limits[-1] == 1


def test_a_load_that_rises_steadily_is_not_taken_for_a_gain() -> None:
    search = InFlightSearch(2, 4)
    rate, now_ns = 1000.0, 0
    kept = 0
    for _ in range(400):
        rate *= 1.01
        now_ns += int(20 * 1e9 / rate)
        # Each more under way costs a fifth; the load's own rise is more than that in a phase.
        power = rate / 1.2**search.limit
        search.returned(20, int(20 * 100_000 / power * MS), now_ns)
        kept += search.limit > 2
    assert search.limit == 1
    assert kept == 0


def test_what_comes_through_while_nobody_waits_is_not_counted() -> None:
    search = InFlightSearch(2, 4)
    for now in range(1000):
        assert not search.returned(20, 20 * MS, now * 10 * MS)
        search.interrupt()
    assert search.limit == 2


def test_it_stays_within_its_bounds() -> None:
    assert set(_run(InFlightSearch(4, 2), _closed(1000, 2000), 500)) == {1, 2}
    assert set(_run(InFlightSearch(1, 1), _closed(1000), 500)) == {1}


def test_shrinking_ends_a_trial_and_leaves_at_least_one() -> None:
    search = InFlightSearch(4, 8)
    search.shrink(0.75)
    assert search.limit == 3
    world = _closed(*([1000.0] * 8))
    while search.limit == 3:
        _run(search, world, 1)
    for _ in range(5):
        search.shrink(0.75)
    assert search.limit == 1
    # After that it rests before anything is tried.
    assert set(_run(search, world, 8 * FIRST_PATIENCE)) == {1}
