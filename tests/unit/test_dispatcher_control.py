"""How many submissions are in flight, and when none but a probe."""

from __future__ import annotations

import asyncio
import itertools

from tailrace.dispatcher.breaker import FIRST_WAIT_NS, LONGEST_WAIT_NS, Breaker
from tailrace.dispatcher.control import LEAST_ROWS, MIXED_BATCHES, MIXED_ROWS, InFlightControl
from tests.support.virtual_time import run_virtually

MS = 1_000_000
TARGET_NS = 5 * MS


def _now_ns() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


async def _round(control: InFlightControl, queue_ns: int) -> None:
    begun_ns = _now_ns()
    await asyncio.sleep(0.01)
    control.returned(queue_ns, begun_ns)


def test_what_is_in_flight_halves_while_rows_wait_at_hops_and_grows_by_steps() -> None:
    async def simulate() -> None:
        control = InFlightControl(256, 4, TARGET_NS)
        assert (control.batches, control.batch_rows) == (1, 256)
        grown = []
        for _ in range(200):
            await _round(control, 0)
            grown.append(control.batches * control.batch_rows)
        # By one step at a time, to all that the settings allow.
        assert grown == sorted(grown)
        assert (control.batches, control.batch_rows) == (4, 256)

        narrowed = []
        for _ in range(10):
            await _round(control, TARGET_NS + 1)
            narrowed.append((control.batches, control.batch_rows))
        # As long as nobody else is there, one batch may be full.
        assert narrowed[:3] == [(2, 256), (1, 256), (1, 256)]
        assert narrowed[-1] == (1, 256)

        for _ in range(10):
            control.narrow(_now_ns())
            await asyncio.sleep(0.01)
            narrowed.append((control.batches, control.batch_rows))
        assert narrowed[10:12] == [(1, 128), (1, 64)]
        assert narrowed[-1] == (1, LEAST_ROWS)
        await _round(control, TARGET_NS + 1)
        assert control.batch_rows == LEAST_ROWS
        await _round(control, TARGET_NS)
        assert LEAST_ROWS < control.batch_rows < 2 * LEAST_ROWS

    run_virtually(simulate())


def test_batches_that_were_under_way_together_narrow_it_once() -> None:
    async def simulate() -> None:
        control = InFlightControl(256, 4, TARGET_NS)
        begun_ns = _now_ns()
        await asyncio.sleep(0.01)
        for _ in range(4):
            control.narrow(begun_ns)
        assert control.batch_rows == 128

    run_virtually(simulate())


def test_batches_are_small_while_hops_have_other_work() -> None:
    async def simulate() -> None:
        control = InFlightControl(256, 4, TARGET_NS)
        for _ in range(200):
            await _round(control, 0)
        control.foreground()
        assert (control.batches, control.batch_rows) == (MIXED_BATCHES, MIXED_ROWS)
        for _ in range(10):
            await _round(control, TARGET_NS + 1)
        assert (control.batches, control.batch_rows) == (1, LEAST_ROWS)
        await asyncio.sleep(1)
        assert control.batch_rows == LEAST_ROWS

    run_virtually(simulate())


def test_bounds_smaller_than_any_step_are_kept() -> None:
    async def simulate() -> None:
        control = InFlightControl(1, 2, TARGET_NS)
        for queue_ns in (0, 0, 0, TARGET_NS + 1, TARGET_NS + 1, TARGET_NS + 1, 0):
            await _round(control, queue_ns)
            assert control.batch_rows == 1
            assert 1 <= control.batches <= 2

    run_virtually(simulate())


def test_probes_get_rarer_while_nothing_answers_and_end_with_the_first_answer() -> None:
    async def simulate() -> None:
        breaker = Breaker()
        assert breaker.wait_ns() == 0 and not breaker.is_open
        waits = []
        for _ in range(10):
            await asyncio.sleep(breaker.wait_ns() / 1e9)
            assert breaker.wait_ns() == 0
            breaker.failed(_now_ns())
            waits.append(breaker.wait_ns())
        assert waits[0] == FIRST_WAIT_NS and waits[-1] == LONGEST_WAIT_NS
        assert all(
            later == min(2 * each, LONGEST_WAIT_NS) for each, later in itertools.pairwise(waits)
        )
        breaker.succeeded()
        assert breaker.wait_ns() == 0 and not breaker.is_open
        breaker.failed(_now_ns())
        assert breaker.wait_ns() == FIRST_WAIT_NS

    run_virtually(simulate())


def test_batches_that_began_before_the_verdict_do_not_make_probes_rarer() -> None:
    async def simulate() -> None:
        breaker = Breaker()
        begun_ns = _now_ns()
        await asyncio.sleep(0.01)
        for _ in range(4):
            breaker.failed(begun_ns)
        assert breaker.wait_ns() == FIRST_WAIT_NS

    run_virtually(simulate())
