from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tailrace.loadtest.measure.run_result import RunResult
from tailrace.loadtest.verdict.judge import Verdict, judge
from tailrace.loadtest.verdict.objective import parse_objective
from tests.support.load_results import UNAVAILABLE, hop_tally, load_result


def _judged(text: str, result: RunResult) -> Verdict:
    (verdict,) = judge([parse_objective(text)], result)
    return verdict


@pytest.fixture(scope="module")
def result() -> RunResult:
    """990 calls of 1 to 990 ms, of which each waited 5 ms, and 10 that failed, in 10 s."""
    answers = hop_tally(990)
    made = load_result(
        np.arange(1, 991), rps=100.0, errors={UNAVAILABLE: 10}, waits_ms=5.0, answers=answers
    )
    return replace(made, duration_ns=10_000_000_000)


@pytest.mark.parametrize(
    ("text", "measured", "passed"),
    [
        ("p50<501ms", 500e6, True),
        ("p50<500ms", 500e6, False),
        ("uncorrected.p50<500ms", 495e6, True),
        ("mean<600ms", 500.5e6, True),
        ("min>6ms", 6e6, False),
        ("max<=995ms", 995e6, True),
        ("lag.p99<=5ms", 5e6, True),
        ("errors<=1%", 0.01, True),
        ("errors<1%", 0.01, False),
        ("errors==10", 10, True),
        ("errors<1/s", 1, False),
        ("ok>=990", 990, True),
        ("ok>99%", 0.99, False),
        ("rps>=100", 100, True),
        ("rps>100", 100, False),
    ],
)
def test_figures_of_calls_are_held_against_their_bounds(
    result: RunResult, text: str, measured: float, passed: bool
) -> None:
    verdict = _judged(text, result)
    assert verdict.measured == pytest.approx(measured, rel=0.002)
    assert verdict.passed is passed


def test_figures_of_answers_are_those_of_their_tally(result: RunResult) -> None:
    answers = result.tally.answers
    assert answers is not None
    told = hop_tally(990)
    features = told.span("features").percentile(99)
    assert _judged("features.p99<1h", result).measured == features
    assert _judged("features.queue.mean<1h", result).measured == told.span("features.queue").mean_ns
    # A call without an answer is a request, too.
    assert _judged("goodput>=1%", result).measured == told.good / 1000
    assert _judged("degraded<1%", result).measured == told.degraded / 1000
    assert _judged("late<10", result).measured == told.late
    assert _judged("live>=1%", result).measured == told.live
    assert _judged("live>=1/s", result).measured == told.qualities["LIVE"] / 10
    stale = told.qualities["STALE_FEATURES"]
    assert _judged("stale_features<10%", result).measured == stale / 990
    assert _judged("prior==0", result).passed


def test_verdicts_tell_objective_and_figure(result: RunResult) -> None:
    assert _judged("p50<501ms", result).text == "p50<501ms: 500.2 ms"
    assert _judged("errors<0.5%", result).text == "errors<0.5%: 1 %"
    assert _judged("errors==0", result).text == "errors==0: 10"
    assert _judged("rps>=12000", result).text == "rps>=12000: 100/s"


def test_a_figure_just_beyond_its_bound_is_told_apart_from_it() -> None:
    result = replace(load_result(np.ones(3)), duration_ns=3_000_000_001)
    verdict = _judged("rps>=1", result)
    assert not verdict.passed
    assert verdict.text == "rps>=1: 0.9999999997/s"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("p99<20ms", "no call was answered"),
        ("uncorrected.mean<20ms", "no call was answered"),
        ("features.p99<20ms", "the answers were not read for hops and quality"),
        ("goodput>=0%", "the answers were not read for hops and quality"),
        ("lag.p99<1ms", "calls were not due at instants of their own"),
    ],
)
def test_a_figure_that_there_is_not_fails_and_says_why(text: str, why: str) -> None:
    result = load_result(np.array([]), errors={UNAVAILABLE: 5})
    verdict = _judged(text, result)
    assert (verdict.passed, verdict.measured, verdict.why) == (False, None, why)
    assert verdict.text == f"{text}: not measured, {why}"


def test_a_hop_that_no_answer_tells_of_fails() -> None:
    result = load_result(calls=10, answers=hop_tally(0))
    assert _judged("features.p99<1s", result).why == "no answer tells of features"
    assert _judged("live>=0%", result).why == "no prediction was made"


def test_a_run_without_calls_reaches_nothing() -> None:
    result = load_result(np.array([]))
    for text in ("errors==0", "rps>=0", "p99<1s"):
        assert _judged(text, result).why == "no call counts"
        assert not _judged(text, result).passed


def test_errors_are_judged_though_no_call_was_answered() -> None:
    result = load_result(np.array([]), errors={UNAVAILABLE: 5})
    assert _judged("errors==5", result).passed
    assert not _judged("errors<100%", result).passed
