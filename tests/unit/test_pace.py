"""Which pipelines count as slow."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tailrace.runtime.steps.offload import MAX_ON_LOOP_S, SLOW_IN_A_ROW, Pace


def _compute() -> None:
    until_s = time.thread_time() + 1.5 * MAX_ON_LOOP_S
    while time.thread_time() < until_s:
        pass


def _wait() -> None:
    time.sleep(1.5 * MAX_ON_LOOP_S)


@pytest.mark.parametrize("work", [_compute, _wait])
def test_batches_that_compute_or_wait_for_long_make_a_pipeline_slow(
    work: Callable[[], None],
) -> None:
    pace = Pace()
    for _ in range(SLOW_IN_A_ROW):
        assert not pace.is_slow
        pace.timed(work)
    assert pace.is_slow


def test_a_quick_batch_in_between_starts_the_count_anew() -> None:
    pace = Pace()
    for _ in range(SLOW_IN_A_ROW):
        pace.timed(_wait)
        pace.timed(lambda: None)
    assert not pace.is_slow


def test_an_error_is_handed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        Pace().timed(lambda: 1 // 0)
