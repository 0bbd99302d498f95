"""When a run says that its generator was the limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tailrace.loadtest.engine.generator_limit import generator_limit
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import LoadOptions

_OPEN = LoadOptions(host="h", call="s/m", rps=100, async_=True, duration=2, max_in_flight=50)
_MS = 1_000_000


def _tally(lag_ms: float = 0.1, latency_ms: float = 2.0, *, calls: int = 200) -> Tally:
    tally = Tally(started=calls, ended=calls, wall_ns=2000 * _MS, cpu_ns=200 * _MS, first_ns=1)
    tally.last_ns = 2000 * _MS
    tally.lag.record(np.full(calls, round(lag_ms * _MS)))
    tally.corrected.record(np.full(calls, round(latency_ms * _MS)))
    tally.uncorrected.record(np.full(calls, round(latency_ms * _MS)))
    return tally


def _why(options: LoadOptions, tally: Tally) -> str:
    limit = generator_limit(options, tally, [tally], 0)
    assert limit.limited == bool(limit.why)
    return limit.why


def test_a_generator_that_keeps_to_its_schedule_is_no_limit() -> None:
    assert not _why(_OPEN, _tally())


@pytest.mark.parametrize(
    ("lag_ms", "latency_ms", "late"), [(1.5, 2.0, True), (0.9, 1.0, False), (1.5, 50.0, False)]
)
def test_lag_matters_beside_what_is_measured(lag_ms: float, latency_ms: float, late: bool) -> None:
    why = _why(_OPEN, _tally(lag_ms, latency_ms))

    assert why == ("calls were sent 1.5 ms late (p99)" if late else "")


def test_lag_is_held_against_latency_at_the_same_percentile() -> None:
    tail = _tally(0.1, 2.0, calls=980)
    for histogram, slowest_ms in ((tail.lag, 3), (tail.corrected, 80)):
        histogram.record(np.full(20, slowest_ms * _MS))
    assert not _why(_OPEN, tail)
    middle = _tally(1.5, 2.0, calls=980)
    middle.corrected.record(np.full(20, 80 * _MS))
    assert _why(_OPEN, middle) == "calls were sent 1.5 ms late (p50)"


def test_a_process_that_takes_a_whole_core_is_the_limit() -> None:
    busy = replace(_tally(), cpu_ns=1900 * _MS)

    assert _why(replace(_OPEN, rps=0), busy) == "its process took 95% of a core (more: --cpus)"


def test_a_process_that_is_not_there_to_read_answers_is_the_limit() -> None:
    away, there = replace(_tally(), away_ns=250 * _MS), replace(_tally(), away_ns=150 * _MS)
    callers = replace(_OPEN, rps=0, async_=False)

    assert _why(callers, away) == "answers may have waited for its process 12% of the time"
    assert not _why(callers, there)


def test_a_full_open_loop_is_the_limit() -> None:
    full = replace(_tally(), max_in_flight=50)

    assert "50 calls were in flight" in _why(_OPEN, full)
    assert not _why(replace(_OPEN, rps=0), full)


def test_too_few_callers_for_a_rate_are_the_limit() -> None:
    bounded = replace(_OPEN, async_=False)

    assert "100 of 199 calls that were due were made" in _why(bounded, _tally(calls=100))
    assert not _why(bounded, _tally(calls=195))


def test_calls_that_were_all_made_too_late_had_too_few_callers() -> None:
    counted = replace(_OPEN, async_=False, duration=0)

    assert "100 of 199 calls" in _why(replace(counted, total=100), _tally(calls=100))
    assert not _why(replace(counted, total=200), _tally(calls=200))


def test_all_that_limits_is_told_but_not_what_a_lost_process_did_not_make() -> None:
    bounded = replace(_OPEN, async_=False)
    busy = replace(_tally(calls=100), cpu_ns=1900 * _MS)

    told = _why(bounded, busy).split("; ")
    assert told[0] == "its process took 95% of a core (more: --cpus)"
    assert told[1].startswith("100 of 199 calls that were due were made")
    assert _why(bounded, replace(busy, lost=1)) == told[0]
