from __future__ import annotations

import pytest

from tailrace.loadtest.bench.features_ratios import (
    BARS,
    FEAST,
    Figures,
    Latencies,
    Subject,
    ratios_of,
    targets_of,
)
from tailrace.loadtest.bench.features_run import shuffled
from tailrace.loadtest.bench.spread import Spread


def taken(p50_us: float, p99_us: float = 1.0, until_dict_us: float = 0.0) -> Latencies:
    return Latencies(p50_us, p99_us, calls=10, wrong=0, until_dict_p50_us=until_dict_us)


def test_ratios_are_those_of_the_same_repeat() -> None:
    figures = Figures(
        {
            Subject("ours", 100): [taken(10), taken(100), taken(20)],
            Subject("mget", 100): [taken(10), taken(50), taken(5)],
        }
    )
    ratios = ratios_of(figures)
    assert ratios == {"ours_over_mget_100": Spread(2, 1, 4)}


def test_of_feast_counts_the_way_that_was_faster_in_each_repeat() -> None:
    figures = Figures(
        {
            Subject("ours", 1): [taken(10, 10), taken(10, 10)],
            Subject("refs", 1): [taken(40, 90, 100), taken(90, 50, 100)],
            Subject("precomputed", 1): [taken(80, 20, 60), taken(60, 70, 200)],
        }
    )
    ratios = ratios_of(figures)
    assert ratios["feast_p50_over_ours_1"] == Spread(5, 4, 6)
    assert ratios["feast_p99_over_ours_1"] == Spread(3.5, 2, 5)
    assert ratios["feast_to_dict_p50_over_ours_1"] == Spread(8, 6, 10)
    assert ratios["feast_refs_p50_over_ours_1"] == Spread(6.5, 4, 9)


def test_growth_is_over_the_same_lookups_without_events() -> None:
    slow = {"none": 1.0, "calm": 10.0, "paced": 11.0, "peak": 30.0}
    figures = Figures({Subject("small", 1, events): [taken(us)] for events, us in slow.items()})
    ratios = {name: spread.median for name, spread in ratios_of(figures).items()}
    assert ratios == {"lookup_growth_paced_1": 1.1, "lookup_growth_peak_1": 3}


def test_freshness_and_rates_are_told_by_what_else_went_on() -> None:
    figures = Figures(
        events_per_s=[9_000, 12_000, 11_000],
        fresh_ms={"paced": [(1, 40), (2, 60), (3, 20)], "peak": [(9, 99)]},
    )
    ratios = ratios_of(figures)
    assert ratios["events_per_s"] == Spread(11_000, 9_000, 12_000)
    assert ratios["freshness_p50_ms"].median == 2
    assert ratios["freshness_p99_ms"] == Spread(40, 20, 60)
    assert ratios["freshness_peak_p99_ms"].median == 99
    assert targets_of(ratios) == {"events_per_s": True, "freshness_p99_ms": True}


def test_every_bar_has_a_figure_when_everything_was_measured() -> None:
    contenders = ("ours", "small", "grpc", "mget", *FEAST)
    lookups = {Subject(name, rows): [taken(1, 1, 1)] for name in contenders for rows in (1, 100)}
    for events in ("calm", "paced", "peak"):
        for name in ("small", "windowed"):
            lookups |= {Subject(name, rows, events): [taken(1)] for rows in (1, 100)}
    ratios = ratios_of(Figures(lookups, [1.0], {"paced": [(1, 1)], "peak": [(1, 1)]}))
    assert set(BARS) <= set(ratios)
    assert set(targets_of(ratios)) == set(BARS)


def test_without_feast_nothing_is_said_of_it() -> None:
    lookups = {Subject(name, 100): [taken(1)] for name in ("ours", "grpc", "mget", "small")}
    assert not any("feast" in name for name in ratios_of(Figures(lookups)))


@pytest.mark.parametrize(
    ("name", "value", "met"),
    [
        ("feast_p50_over_ours_1", 4.0, True),
        ("feast_p50_over_ours_100", 11.9, False),
        ("feast_p50_over_ours_100_grpc", 6.0, True),
        ("ours_over_mget_100", 1.31, False),
        ("lookup_growth_paced_100", 1.2, True),
        ("events_per_s", 9_999, False),
        ("freshness_p99_ms", 50, True),
    ],
)
def test_a_bar_is_met_from_its_own_side(name: str, value: float, met: bool) -> None:
    assert targets_of({name: Spread.of([value])}) == {name: met}


def test_nobody_is_always_first_or_after_the_same_one() -> None:
    items = ["a", "b", "c", "d"]
    orders = [shuffled(items, repeat) for repeat in range(12)]
    assert all(sorted(order) == items for order in orders)
    assert {order[0] for order in orders} == set(items)
    before_a = {order[order.index("a") - 1] for order in orders if order[0] != "a"}
    assert before_a == {"b", "c", "d"}
