"""Calls are due when ghz 0.121's pacers say."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tailrace.loadtest.engine.rate_schedule import (
    ConstantRate,
    RateSchedule,
    SteppedRate,
    rate_schedule,
)
from tailrace.loadtest.options.load_options import LoadOptions, Schedule


def _seconds(schedule: RateSchedule, numbers: range) -> list[float]:
    instants = [schedule.due_ns(number) for number in numbers]
    return [round(instant / 1e9, 6) for instant in instants if instant is not None]


def _stepped(
    start: float, step: float, duration: float = 1.0, end: float = 0.0, longest: float = 0.0
) -> SteppedRate:
    return SteppedRate(
        start=start, step=step, step_duration=duration, end=end, max_duration=longest
    )


def test_a_constant_rate_begins_after_one_interval() -> None:
    assert _seconds(ConstantRate(4), range(5)) == [0.25, 0.5, 0.75, 1.0, 1.25]


def test_a_constant_rate_does_not_drift() -> None:
    assert ConstantRate(3).due_ns(2_999_999) == 1_000_000 * 1_000_000_000


def test_a_rate_may_be_a_fraction() -> None:
    assert _seconds(ConstantRate(0.5), range(2)) == [2.0, 4.0]


def test_each_second_of_a_line_is_faster_than_the_one_before() -> None:
    # As ghz's LinearPacer, with Start 5 and Slope 1: the sixth call 166,666 µs after the first
    # second, and after two seconds the twelfth 142,857 µs later, the thirteenth 285,714 µs.
    due = _seconds(_stepped(5, 1), range(13))

    assert due[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert due[5] == 1.166667
    assert due[10:] == [2.0, 2.142857, 2.285714]


def test_a_rate_that_falls_to_nothing_ends() -> None:
    schedule = _stepped(20, -1)
    due = _seconds(schedule, range(300))

    assert due[19] == 1.0
    assert len(due) == sum(range(1, 21))
    assert due[-1] == 20.0
    assert schedule.due_ns(300) is None


def test_a_call_that_two_steps_share_is_due_in_the_second() -> None:
    # Half a call is due in the first step; the other half takes a quarter of a second.
    assert _seconds(_stepped(1, 1, duration=0.5), range(2)) == [0.75, 1.166667]


def test_steps_stop_before_they_go_beyond_the_end() -> None:
    # 10, 17, 24 calls a second, then 30, and no 31.
    schedule = _stepped(10, 7, end=30)

    assert [schedule.rate_at(second * 10**9) for second in range(5)] == [10, 17, 24, 30, 30]
    assert _seconds(schedule, range(50, 53)) == [3.0, 3.033333, 3.066667]


def test_a_step_that_meets_the_end_is_taken() -> None:
    schedule = _stepped(20, -5, end=10)

    assert [schedule.rate_at(second * 10**9) for second in range(5)] == [20, 15, 10, 10, 10]


def test_after_the_longest_time_the_rate_stays() -> None:
    schedule = _stepped(10, 10, longest=3)

    assert [schedule.rate_at(second * 10**9) for second in (0, 2, 3, 100)] == [10, 30, 40, 40]


def test_with_an_end_and_a_longest_time_the_rate_jumps_to_the_end() -> None:
    schedule = _stepped(10, 10, end=5, longest=3)

    assert [schedule.rate_at(second * 10**9) for second in (0, 2, 3, 100)] == [10, 30, 5, 5]
    # What was due of a further call is forgotten where the rate becomes constant.
    assert _seconds(schedule, range(59, 62)) == [3.0, 3.2, 3.4]


def test_what_was_due_of_a_call_is_forgotten_where_the_rate_becomes_constant() -> None:
    # 1.5 calls are due in the first second and a half.
    schedule = _stepped(1, 1, duration=1.5, longest=1.5, end=2)

    assert _seconds(schedule, range(3)) == [1.0, 2.0, 2.5]


@pytest.mark.parametrize("numbers", [range(0, 500, 2), range(1, 500, 2)])
def test_processes_have_the_instants_of_the_whole(numbers: range) -> None:
    def schedule() -> RateSchedule:
        return _stepped(7, 3, duration=0.3, end=90)

    whole = _seconds(schedule(), range(500))

    assert _seconds(schedule(), numbers) == whole[numbers.start :: 2]
    assert all(first < second for first, second in pairwise(whole))


@pytest.mark.parametrize(
    "schedule",
    [ConstantRate(7), _stepped(7, 3, duration=0.3, end=90), _stepped(20, -1), _stepped(3, 0.5)],
)
def test_as_many_are_due_until_an_instant_as_have_one_before(schedule: RateSchedule) -> None:
    for number in range(200):
        due_ns = schedule.due_ns(number)
        assert due_ns is not None
        assert schedule.due_until(due_ns - 1000) == number
        assert schedule.due_until(due_ns + 1000) == number + 1


def test_options_say_which() -> None:
    options = LoadOptions(host="h", call="s/m")
    assert rate_schedule(options) is None

    constant = LoadOptions(host="h", call="s/m", rps=50)
    line = LoadOptions(
        host="h", call="s/m", rps=50, load_schedule=Schedule.LINE, load_start=5, load_step=1
    )
    step = LoadOptions(
        host="h",
        call="s/m",
        load_schedule=Schedule.STEP,
        load_start=1,
        load_step=1,
        load_step_duration=0.5,
    )
    told = [rate_schedule(each) for each in (constant, line, step)]
    assert [each.due_ns(0) for each in told if each] == [20_000_000, 200_000_000, 750_000_000]


def test_a_rate_next_to_nothing_has_an_interval() -> None:
    for schedule in (ConstantRate(1e-308), _stepped(1, 1, end=1e-308, longest=0.1)):
        due_ns = schedule.due_ns(0)
        assert due_ns is not None
        assert due_ns > 10**18
