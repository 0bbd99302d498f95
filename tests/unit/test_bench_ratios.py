from __future__ import annotations

import pytest

from tailrace.loadtest.bench.agreement import count_wrong, largest_difference
from tailrace.loadtest.bench.bls.repository import BlsVariant
from tailrace.loadtest.bench.bls.tuning import best_variant
from tailrace.loadtest.bench.generator.orders import Outcome
from tailrace.loadtest.bench.process_usage import MACHINE
from tailrace.loadtest.bench.ratios import BARS, Bar, peak_rate, ratios_of
from tailrace.loadtest.bench.slices import Load, Results, Slice, in_turn, slice_of


def measured(rate: float, p50_ms: float = 1.0, p99_ms: float = 2.0) -> Slice:
    return Slice(
        p50_ms, p99_ms, rate, failed={}, wrong=0, degraded=0, checked=0, convoy_rows=0.0,
        cpu_us={}, idle_cores=0.0, outside_cores=0.0,
    )  # fmt: skip


def test_ratios_are_those_of_the_same_repeat() -> None:
    results: Results = {
        Load("mesh", "unary", 128): [measured(100), measured(1000), measured(600)],
        Load("chain", "unary", 128): [measured(10), measured(50), measured(100)],
    }
    ratios = ratios_of(results, 32)
    assert set(ratios) == {"unary_over_chain"}
    spread = ratios["unary_over_chain"]
    assert (spread.median, spread.lowest, spread.highest) == (10, 6, 20)


def test_all_ratios_are_there_when_everybody_took_part() -> None:
    names = ("triton", "chain", "mesh", "local", "local_triton", "bls")
    loads = [Load(name, "unary", width) for name in names for width in (1, 128)]
    loads += [Load(name, "wide", 32) for name in ("triton", "mesh", "bls")]
    loads += [Load("mesh", "open_own"), Load("mesh", "open_shared"), Load("bls", "open_shared")]
    ratios = ratios_of({load: [measured(1)] for load in loads}, 32)
    assert set(ratios) == {
        "unary_over_chain", "unary_over_bls", "local_over_bls", "local_triton_over_bls",
        "stream_over_chain", "stream_over_triton", "stream_over_bls", "stream_over_triton_32",
        "stream_over_bls_32", "p50_over_chain", "local_p50_over_bls", "local_triton_p50_over_bls",
        "open_loop_p99_over_p50", "open_loop_p99_over_bls", "chain_over_triton", "bls_over_chain",
    }  # fmt: skip
    assert set(BARS) <= set(ratios)


def test_latencies_are_compared_by_p50_alone_and_by_p99_at_a_fixed_rate() -> None:
    results: Results = {
        Load("mesh", "unary", 1): [measured(1, p50_ms=4)],
        Load("chain", "unary", 1): [measured(1, p50_ms=8)],
        Load("mesh", "open_own"): [measured(1, p50_ms=5, p99_ms=15)],
        Load("mesh", "open_shared"): [measured(1, p99_ms=12)],
        Load("bls", "open_shared"): [measured(1, p99_ms=10)],
    }
    ratios = {name: spread.median for name, spread in ratios_of(results, 32).items()}
    assert ratios == {
        "p50_over_chain": 0.5,
        "open_loop_p99_over_p50": 3,
        "open_loop_p99_over_bls": 1.2,
    }


def test_the_peak_is_the_highest_median_of_single_rows() -> None:
    results: Results = {
        Load("mesh", "unary", 32): [measured(10), measured(12), measured(90)],
        Load("mesh", "unary", 128): [measured(20), measured(21), measured(22)],
        Load("mesh", "wide", 32): [measured(1000)],
        Load("bls", "unary", 128): [measured(500)],
    }
    assert peak_rate(results, "mesh") == 21


@pytest.mark.parametrize(
    ("bar", "value", "met"),
    [(Bar(6, True), 6, True), (Bar(6, True), 5.9, False), (Bar(0.8, False), 0.81, False)],
)
def test_a_bar_is_met_from_its_own_side(bar: Bar, value: float, met: bool) -> None:
    assert bar.met_by(value) is met


def test_nobody_is_always_first_among_those_that_are_compared() -> None:
    loads = [Load(name, "unary", width) for width in (1, 128) for name in ("mesh", "bls", "chain")]
    firsts = [
        {(load.in_flight, load.contender) for load in in_turn(loads, repeat)[::3]}
        for repeat in range(3)
    ]
    assert firsts == [
        {(1, "mesh"), (128, "mesh")}, {(1, "bls"), (128, "bls")}, {(1, "chain"), (128, "chain")},
    ]  # fmt: skip


def test_cpu_time_is_told_by_process_and_what_others_took_apart() -> None:
    outcome = Outcome(
        answered=1000, counted=800, latencies_us=[1000, 2000, 3000], convoy_rows=[1, 7, 9]
    )
    used = {"gateway": 0.5, "generator": 0.25, "plain gateway": 0.02, MACHINE: 1.77}
    taken = slice_of(outcome, 2.0, used, ("gateway",), elapsed_s=2.0)
    assert taken.cpu_us == {"gateway": 500, "generator": 250}
    assert taken.rate == 400
    assert taken.p50_ms == 2
    assert taken.convoy_rows == 7
    assert taken.idle_cores == pytest.approx(0.01)
    assert taken.outside_cores == pytest.approx(0.5)


def test_a_slice_without_answers_says_what_failed() -> None:
    outcome = Outcome(failed={"UNAVAILABLE": 3})
    with pytest.raises(RuntimeError, match="UNAVAILABLE"):
        slice_of(outcome, 2.0, {}, (), elapsed_s=2.0)


def test_contenders_with_another_score_are_refused() -> None:
    assert largest_difference({"a": [0.1, 0.2], "b": [0.1, 0.200001]}) == pytest.approx(1e-6)
    with pytest.raises(RuntimeError, match="differ by up to 0.1"):
        largest_difference({"a": [0.1, 0.2], "b": [0.1, 0.3]})
    with pytest.raises(RuntimeError):
        largest_difference({"a": [0.1], "b": [float("nan")]})


def test_wrong_scores_are_counted_and_not_a_number_is_wrong() -> None:
    assert count_wrong([0.1, 0.2, float("nan")], [0.1, 0.3, 0.4]) == 2


def test_the_best_variant_is_the_quickest_alone_of_those_that_are_as_good() -> None:
    rates = {
        BlsVariant(1, 0): 4000.0,
        BlsVariant(2, 0): 4100.0,
        BlsVariant(2, 1000): 4200.0,
        BlsVariant(1, 200): 3000.0,
    }
    assert best_variant(rates) == BlsVariant(2, 0)
    assert best_variant({**rates, BlsVariant(2, 1000): 5000.0}) == BlsVariant(2, 1000)
