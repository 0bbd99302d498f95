from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.gateway.budget import HopBudgets, RetryBudget
from tailrace.runtime.deadline import NS_PER_MS, NS_PER_S
from tailrace.runtime.pipeline.spec import Budgets, HopBudget

MS = NS_PER_MS


def test_a_hop_gets_what_is_left_after_the_reserve_of_those_behind_it() -> None:
    budgets = HopBudgets(Budgets())
    budgets.observe("inference", 20 * MS)
    budgets.observe("postprocess", 5 * MS)
    assert budgets.grant_ns("ingest", 100 * MS, ("inference", "postprocess")) == 75 * MS
    assert budgets.grant_ns("inference", 100 * MS, ("postprocess",)) == 95 * MS
    assert budgets.grant_ns("postprocess", 100 * MS, ()) == 100 * MS


def test_a_hop_never_gets_more_than_its_cap() -> None:
    budgets = HopBudgets(Budgets(ingest=HopBudget(cap_ms=30)))
    assert budgets.grant_ns("ingest", 100 * MS, ()) == 30 * MS
    assert budgets.grant_ns("ingest", 20 * MS, ()) == 20 * MS


def test_the_reserve_follows_what_the_hops_take() -> None:
    budgets = HopBudgets(Budgets())
    budgets.observe("inference", 10 * MS)
    for _ in range(200):
        budgets.observe("inference", 50 * MS)
    granted = budgets.grant_ns("ingest", 100 * MS, ("inference",))
    assert granted == pytest.approx(50 * MS, rel=0.01)


def test_a_reserve_that_keeps_its_hop_from_being_called_fades(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ns = 5 * NS_PER_S
    monkeypatch.setattr("tailrace.gateway.budget.time.monotonic_ns", lambda: now_ns)
    budgets = HopBudgets(Budgets())
    budgets.observe("inference", 800 * MS)
    budgets.doubt(["inference", "postprocess"])
    assert budgets.grant_ns("ingest", 1000 * MS, ("inference", "postprocess")) == 200 * MS

    now_ns += NS_PER_S
    for _ in range(100):
        # At most once in a while, however many are refused.
        budgets.doubt(["inference", "postprocess"])
    assert budgets.grant_ns("ingest", 1000 * MS, ("inference", "postprocess")) == 600 * MS

    now_ns += NS_PER_S
    budgets.observe("inference", 400 * MS)
    budgets.doubt(["inference", "postprocess"])
    assert budgets.grant_ns("ingest", 1000 * MS, ("inference", "postprocess")) == 600 * MS


def test_the_floor_is_never_zero() -> None:
    budgets = HopBudgets(Budgets(features=HopBudget(floor_ms=0)))
    assert budgets.floor_ns("features") == 1_000
    assert budgets.floor_ns("ingest") == 1 * MS


@given(calls=st.integers(1, 2000))
def test_retries_stay_within_a_tenth_of_the_calls_and_the_burst(calls: Any) -> None:
    budget = RetryBudget()
    retries = 0
    for _ in range(calls):
        budget.earn()
        retries += budget.spend()
    assert retries <= calls * budget.ratio + budget.burst
    assert retries >= min(calls, int(budget.burst))
