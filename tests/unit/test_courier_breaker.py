from tailrace.courier.breaker import Breaker, BreakerState
from tailrace.courier.retry_schedule import RetrySchedule


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_it_opens_after_failures_in_a_row_and_probes_with_one() -> None:
    clock = Clock()
    breaker = Breaker(3, 30.0, clock)
    assert [breaker.failed(), breaker.failed()] == [False, False]
    breaker.succeeded()
    assert [breaker.failed(), breaker.failed(), breaker.failed()] == [False, False, True]

    assert breaker.wait_s() == 30.0
    clock.now_s += 29.0
    assert breaker.wait_s() == 1.0
    clock.now_s += 1.0
    assert breaker.wait_s() == 0.0
    breaker.begin_probe()
    assert breaker.wait_s() is None
    assert not breaker.failed()
    assert breaker.wait_s() == 30.0
    clock.now_s += 30.0
    breaker.begin_probe()
    breaker.succeeded()
    assert (breaker.state, breaker.failures, breaker.wait_s()) == (BreakerState.CLOSED, 0, 0.0)


def test_a_probe_that_found_nothing_to_send_is_given_back() -> None:
    clock = Clock()
    breaker = Breaker(1, 30.0, clock)
    breaker.failed()
    clock.now_s += 30.0
    breaker.begin_probe()
    breaker.give_up_probe()

    assert breaker.wait_s() == 0.0
    assert breaker.state is BreakerState.OPEN


def test_it_opens_at_once_for_who_wants_to_be_left_alone_but_not_for_longer() -> None:
    clock = Clock()
    breaker = Breaker(10, 30.0, clock)
    assert breaker.failed(5.0)
    assert breaker.wait_s() == 5.0
    breaker.succeeded()
    assert breaker.failed(86_400.0)
    assert breaker.wait_s() == 30.0


def test_failures_of_what_was_under_way_do_not_lengthen_it() -> None:
    clock = Clock()
    breaker = Breaker(1, 30.0, clock)
    breaker.failed()
    clock.now_s += 20.0
    assert not breaker.failed()
    assert breaker.wait_s() == 10.0


def test_waits_follow_the_schedule_with_jitter_and_end() -> None:
    plain = RetrySchedule((5, 300), 0.0)
    assert [plain.delay_ms(attempt, None) for attempt in (1, 2, 3)] == [5_000, 300_000, None]
    longest = RetrySchedule((5, 300), 0.1, lambda: 1.0)
    assert [longest.delay_ms(attempt, None) for attempt in (1, 2)] == [5_500, 330_000]


def test_a_receiver_may_ask_for_a_longer_wait_and_not_for_a_shorter_one() -> None:
    plain = RetrySchedule((5, 300), 0.0)
    assert plain.delay_ms(1, 60.0) == 60_000
    assert plain.delay_ms(2, 60.0) == 300_000
    assert plain.delay_ms(3, 60.0) is None
