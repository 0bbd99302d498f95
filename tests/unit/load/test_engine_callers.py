"""Callers come and go as with ghz 0.121's workers, and each is one process's."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from tailrace.loadtest.engine.caller_schedule import caller_schedule
from tailrace.loadtest.engine.roster import NEVER_NS, Roster
from tailrace.loadtest.engine.share import (
    Share,
    call_numbers,
    connection_count,
    process_count,
)
from tailrace.loadtest.options.load_options import LoadOptions, Schedule

_PLAIN = LoadOptions(host="h", call="s/m", concurrency=5)


def _changing(start: int, step: int, end: int = 0, longest: float = 0.0) -> LoadOptions:
    return replace(
        _PLAIN,
        concurrency_schedule=Schedule.STEP,
        concurrency_start=start,
        concurrency_step=step,
        concurrency_end=end,
        concurrency_step_duration=0.5,
        concurrency_max_duration=longest,
    )


def _told(options: LoadOptions) -> list[tuple[float, int, int]]:
    changes = islice(caller_schedule(options), 12)
    return [(each.from_ns / 1e9, each.first, each.end) for each in changes]


def test_a_constant_number_never_changes() -> None:
    assert _told(_PLAIN) == [(0.0, 0, 5)]


def test_steps_go_on_until_they_reach_the_end() -> None:
    # The last step may pass it, as with ghz.
    assert _told(_changing(1, 2, end=4)) == [(0.0, 0, 1), (0.5, 0, 3), (1.0, 0, 5)]


def test_who_came_first_leaves_first() -> None:
    assert _told(_changing(5, -2, end=1)) == [(0.0, 0, 5), (0.5, 2, 5), (1.0, 4, 5)]


def test_no_more_leave_than_there_are() -> None:
    assert _told(_changing(3, -2)) == [(0.0, 0, 3), (0.5, 2, 3), (1.0, 3, 3)]


def test_after_the_longest_time_their_number_stays() -> None:
    assert _told(_changing(1, 1, longest=1.5)) == [(0.0, 0, 1), (0.5, 0, 2), (1.0, 0, 3)]


def test_after_the_longest_time_their_number_jumps_to_the_end() -> None:
    up, down = _changing(1, 1, end=10, longest=1), _changing(9, -1, end=3, longest=1)

    assert _told(up) == [(0.0, 0, 1), (0.5, 0, 2), (1.0, 0, 10)]
    assert _told(down) == [(0.0, 0, 9), (0.5, 1, 9), (1.0, 6, 9)]


def test_without_an_end_they_become_more_and_more() -> None:
    assert _told(_changing(1, 1))[-1] == (5.5, 0, 12)


def test_a_line_is_a_step_a_second() -> None:
    options = replace(_changing(1, 1, end=3), concurrency_schedule=Schedule.LINE)

    assert _told(options) == [(0.0, 0, 1), (1.0, 0, 2), (2.0, 0, 3)]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_call_is_one_process_s(processes: int) -> None:
    shares = [Share(each, processes) for each in range(processes)]
    options = replace(_PLAIN, total=10)
    numbers = [number for share in shares for number in call_numbers(options, share)]

    assert sorted(numbers) == list(range(10))
    assert sum(share.of(10) for share in shares) == 10


def test_where_time_ends_a_run_calls_have_no_last_number() -> None:
    numbers = call_numbers(replace(_PLAIN, duration=1, total=3), Share(1, 2))

    assert list(islice(numbers, 4)) == [1, 3, 5, 7]


@pytest.mark.parametrize(
    ("changes", "processes"),
    [
        ({"cpus": 4}, 4),
        ({"cpus": 9}, 5),
        ({"cpus": 4, "total": 3}, 3),
        ({"cpus": 9, "duration": 1.0, "total": 3}, 5),
        ({"cpus": 9, "async_": True}, 9),
        ({"cpus": 9, "async_": True, "max_in_flight": 2}, 2),
    ],
)
def test_no_process_has_nothing_to_do(changes: dict[str, float], processes: int) -> None:
    options = replace(_PLAIN, **changes)  # type: ignore[arg-type]  # of several types

    assert process_count(options) == processes


def test_a_process_keeps_a_caller_while_their_number_changes() -> None:
    assert process_count(replace(_changing(2, 3, end=20), cpus=4)) == 2
    assert process_count(replace(_changing(20, -3, end=2), cpus=4)) == 2
    assert process_count(replace(_changing(20, -3), cpus=4)) == 1


def test_each_process_has_a_connection_at_least() -> None:
    options = replace(_PLAIN, connections=3)

    assert [connection_count(options, Share(each, 2)) for each in range(2)] == [2, 1]
    assert [connection_count(options, Share(each, 4)) for each in range(4)] == [1, 1, 1, 1]


def test_a_roster_tells_who_is_new_and_who_is_to_leave() -> None:
    options = _changing(1, 2, end=5)
    even, odd = (Roster(options, Share(each, 2), 1000) for each in range(2))

    assert (even.changed(1000), odd.changed(1000)) == ([0], [])
    assert even.change_ns == 1000 + 500_000_000
    assert (even.changed(2 * 10**9), odd.changed(10**9)) == ([2, 4], [1])
    assert odd.changed(2 * 10**9) == [3]
    assert even.change_ns == NEVER_NS
    assert not even.gone


def test_a_roster_without_callers_is_gone() -> None:
    roster = Roster(_changing(3, -2), Share(0, 1), 0)

    assert roster.changed(600_000_000) == [2]
    assert (roster.first, roster.gone) == (2, False)
    assert roster.changed(2 * 10**9) == []
    assert roster.gone


def test_in_an_open_loop_there_is_a_caller_for_each_call_in_flight() -> None:
    options = replace(_PLAIN, concurrency=3, async_=True, max_in_flight=9)

    assert Roster(options, Share(0, 1), 0).changed(0) == [0, 1, 2] * 3
    assert Roster(options, Share(1, 2), 0).changed(0) == [1, 1, 1, 1]
