"""How convoys form, on a simulated clock."""

from __future__ import annotations

import asyncio
import gc
import itertools
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tailrace.gateway.arrival import CallArrival
from tailrace.gateway.convoy import ConvoyRow, Outcome
from tailrace.gateway.convoy_control import ConvoyBounds
from tailrace.gateway.convoy_former import (
    LEFT_ROWS_KEPT,
    MIXED_BACKGROUND_ROWS,
    ConvoyFormer,
)
from tailrace.gateway.outcome_account import OutcomeAccount
from tailrace.runtime.errors import Code, Reason, TailraceError
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.v1 import batch_pb2, prediction_service_pb2
from tests.support.simulated_hops import SimulatedChain
from tests.support.virtual_time import run_virtually
from tests.support.written_pipeline import written_pipeline

MS = 1_000_000
BOUNDS = ConvoyBounds(
    max_rows=8,
    max_in_flight=2,
    max_window_ns=5 * MS,
    target_ns=500 * MS,
    max_queued_rows=100,
    max_bytes=1_000_000,
)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return written_pipeline(Path(tempfile.mkdtemp()))


class Entrance:
    """A former in front of hops that all take `hop_ms`, and callers of it."""

    def __init__(self, pipeline: Pipeline, bounds: ConvoyBounds = BOUNDS, hop_ms: float = 10):
        self.hop_ms = hop_ms
        self.world = SimulatedChain(lambda hop, rows: (self.hop_ms / 1000, None))
        self.former = ConvoyFormer(self.world.chain(pipeline), bounds)
        self._numbers = itertools.count()

    def call(
        self,
        timeout_ms: int = 1000,
        priority: Any = batch_pb2.PRIORITY_NORMAL,
        padding: int = 0,
        x: float | None = None,
    ) -> asyncio.Task[Outcome]:
        """Asks for one prediction; returns what waits for it."""
        now_ns = _now_ns()
        number = next(self._numbers)
        request = prediction_service_pb2.PredictRequest()
        request.fields["x"].double_value = number if x is None else x
        if padding:
            request.fields["padding"].bytes_value = bytes(padding)
        row = ConvoyRow(
            pipeline="under-test",
            request_id=str(number),
            fields=request.fields,
            deadline_ns=now_ns + timeout_ms * MS,
            granted_ns=timeout_ms * MS,
            received_ns=now_ns,
            priority=priority,
            data=request.SerializeToString(),
        )
        arrival = CallArrival(OutcomeAccount(0.0), 1)
        arrival.add(row, 0)
        self.former.submit([row])
        arrival.watch()

        async def outcome() -> Outcome:
            return (await arrival.outcomes())[0]

        return asyncio.ensure_future(outcome())

    def convoys(self) -> list[list[str]]:
        """Returns the ids of each convoy that has departed."""
        return [call.request_ids for call in self.world.calls("ingest")]


def _now_ns() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


def simulated(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[[Pipeline], None]:
    def run(pipeline: Pipeline) -> None:
        run_virtually(test(pipeline))

    run.__name__ = test.__name__
    return run


def _error(outcome: Outcome) -> TailraceError:
    assert isinstance(outcome, TailraceError)
    return outcome


@simulated
async def test_a_request_that_comes_alone_departs_at_once(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline)
    for _ in range(5):
        begun_ns = _now_ns()
        answer: Any = await entrance.call()
        assert answer.ledger.convoy_wait_ns == 0
        assert answer.ledger.convoy_rows == 1
        assert _now_ns() - begun_ns == 30 * MS


@simulated
async def test_who_comes_alone_after_a_burst_does_not_wait_for_company(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline, replace(BOUNDS, max_rows=64))
    for _ in range(20):
        await asyncio.gather(*[entrance.call() for _ in range(50)])
    # A caller who goes on alone waits less and less, one who comes later not at all.
    answers: list[Any] = [await entrance.call() for _ in range(12)]
    assert answers[-1].ledger.convoy_wait_ns == 0
    await asyncio.gather(*[entrance.call() for _ in range(50)])
    await asyncio.sleep(0.5)
    later: Any = await entrance.call()
    assert later.ledger.convoy_wait_ns == 0


@simulated
async def test_arrivals_gather_while_convoys_are_under_way(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline)
    calls = []
    for _ in range(12):
        calls.append(entrance.call())
        await asyncio.sleep(0.001)
    await asyncio.gather(*calls)
    assert sorted(sum(entrance.convoys(), []), key=int) == [str(n) for n in range(12)]
    assert len(entrance.convoys()) <= 4
    assert all(len(convoy) <= BOUNDS.max_rows for convoy in entrance.convoys())


@simulated
async def test_what_arrives_together_departs_together(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline)
    await asyncio.gather(*[entrance.call() for _ in range(8)])
    assert [len(convoy) for convoy in entrance.convoys()] == [8]


@simulated
async def test_no_more_convoys_are_under_way_than_the_limit(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline, replace(BOUNDS, max_rows=1))
    calls = [entrance.call() for _ in range(6)]
    await asyncio.sleep(0.005)
    assert len(entrance.convoys()) == 2
    await asyncio.gather(*calls)
    assert len(entrance.convoys()) == 6


@simulated
async def test_the_last_to_leave_cancels_the_convoy_at_that_moment(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline)
    first, second = entrance.call(), entrance.call()
    await asyncio.sleep(0.005)
    first.cancel()
    await asyncio.sleep(0.001)
    assert [call.cancelled for call in entrance.world.seen] == [False]
    second.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [call.cancelled for call in entrance.world.seen] == [True]
    await asyncio.sleep(0.001)
    assert entrance.former.idle
    assert len(entrance.world.seen) == 1


@simulated
async def test_a_row_whose_deadline_passes_is_answered_then_and_the_others_go_on(
    pipeline: Pipeline,
) -> None:
    entrance = Entrance(pipeline)
    begun_ns = _now_ns()
    short, long = entrance.call(timeout_ms=15), entrance.call()
    error = _error(await short)
    assert error.code is Code.DEADLINE_EXCEEDED
    assert 14 * MS <= _now_ns() - begun_ns <= 16 * MS
    answer: Any = await long
    assert answer.request_id == "1"
    assert entrance.world.calls("postprocess")[0].request_ids == ["1"]


@simulated
async def test_a_row_that_cannot_make_its_deadline_is_refused_at_once(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline)
    await asyncio.gather(*[entrance.call() for _ in range(30)])  # it learns: 30 ms a convoy
    calls = [entrance.call() for _ in range(60)]
    await asyncio.sleep(0)
    begun_ns = _now_ns()
    error = _error(await entrance.call(timeout_ms=60))
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, Reason.QUEUE_TOO_LONG)
    assert _now_ns() == begun_ns
    assert error.retry_after_ms is not None and 10 <= error.retry_after_ms <= 200
    answers: Any = await asyncio.gather(*calls)
    assert not [answer for answer in answers if isinstance(answer, TailraceError)]
    # Nobody waits any more: the same deadline is taken.
    answer: Any = await entrance.call(timeout_ms=60)
    assert answer.request_id


@simulated
async def test_a_full_queue_refuses_with_pushback(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline, replace(BOUNDS, max_queued_rows=4))
    outcomes = await asyncio.gather(*[entrance.call() for _ in range(10)])
    errors = [_error(outcome) for outcome in outcomes[4:]]
    assert {error.reason for error in errors} == {Reason.QUEUE_FULL}
    assert all(error.retry_after_ms for error in errors)
    assert not [item for item in outcomes[:4] if isinstance(item, TailraceError)]


@simulated
async def test_the_critical_depart_first_and_by_themselves(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline, replace(BOUNDS, max_in_flight=1))
    calls = [entrance.call()]
    await asyncio.sleep(0.001)
    kinds = (batch_pb2.PRIORITY_SHEDDABLE, batch_pb2.PRIORITY_NORMAL, batch_pb2.PRIORITY_CRITICAL)
    calls += [entrance.call(priority=kind) for kind in kinds for _ in range(2)]
    await asyncio.gather(*calls)
    assert entrance.convoys() == [["0"], ["5", "6"], ["3", "4"], ["1", "2"]]


@simulated
async def test_a_convoy_carries_no_more_bytes_than_allowed(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline, replace(BOUNDS, max_bytes=2500))
    calls = [entrance.call(padding=size) for size in (1000, 1000, 1000, 9000, 10)]
    await asyncio.gather(*calls)
    assert entrance.convoys() == [["0", "1"], ["2"], ["3"], ["4"]]


@simulated
async def test_convoys_shrink_while_the_chain_is_too_slow_and_grow_again(
    pipeline: Pipeline,
) -> None:
    entrance = Entrance(pipeline, replace(BOUNDS, target_ns=60 * MS, max_rows=64), hop_ms=30)
    control = entrance.former.control
    while control.size_limit > 16:
        await asyncio.gather(*[entrance.call() for _ in range(64)])
    assert control.in_flight_limit == 1
    entrance.hop_ms = 5
    while control.size_limit < 64:
        await asyncio.gather(*[entrance.call() for _ in range(64)])


@simulated
async def test_more_in_flight_are_kept_only_where_more_come_through(pipeline: Pipeline) -> None:
    bounds = replace(BOUNDS, max_in_flight=6, max_window_ns=0)
    wide, narrow = Entrance(pipeline, bounds), Entrance(pipeline, bounds)
    busy = asyncio.Lock()

    async def callers(entrance: Entrance) -> None:
        async def caller() -> None:
            for _ in range(150):
                await entrance.call()

        await asyncio.gather(*[caller() for _ in range(80)])

    # Hops that work beside each other: twice the convoys, twice the rate.
    await callers(wide)
    assert wide.former.control.in_flight_limit >= 4

    # Hops that take turns, as on one core: more convoys only wait for each other.
    inner = narrow.former.chain

    class OneByOne:
        pipeline = inner.pipeline

        async def run(self, convoy: Any) -> None:
            async with busy:
                await inner.run(convoy)

    narrow.former.chain = OneByOne()
    await callers(narrow)
    assert narrow.former.control.in_flight_limit <= 3


@simulated
async def test_in_a_full_queue_the_least_important_makes_room(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline, replace(BOUNDS, max_queued_rows=4))
    kinds = (batch_pb2.PRIORITY_SHEDDABLE, batch_pb2.PRIORITY_NORMAL)
    calls = [entrance.call(priority=kind) for kind in kinds for _ in range(2)]
    calls += [entrance.call(priority=batch_pb2.PRIORITY_CRITICAL) for _ in range(3)]
    calls += [entrance.call(priority=batch_pb2.PRIORITY_SHEDDABLE)]
    assert entrance.former.waiting == 4
    outcomes = await asyncio.gather(*calls)
    refused = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, TailraceError)]
    # The last of those who came, of the least important first; and who comes last of all.
    assert refused == [0, 1, 3, 7]
    assert {_error(outcomes[n]).reason for n in refused} == {Reason.QUEUE_FULL}


@simulated
async def test_rows_without_any_time_do_not_make_the_chain_look_fast(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline)
    for _ in range(5):
        await entrance.call()
    before_ns = entrance.former.control.chain_ns
    for _ in range(50):
        assert _error(await entrance.call(timeout_ms=2)).code is Code.DEADLINE_EXCEEDED
    assert entrance.former.control.chain_ns == before_ns


@simulated
async def test_rows_that_left_are_not_kept_behind_one_that_waits(pipeline: Pipeline) -> None:
    bounds = replace(BOUNDS, max_in_flight=1, max_rows=1)
    entrance = Entrance(pipeline, bounds, hop_ms=1000)
    first = [entrance.call(timeout_ms=60_000) for _ in range(2)]
    await asyncio.sleep(0.001)
    before = _rows_alive()
    for _ in range(20):
        calls = [entrance.call(timeout_ms=60_000) for _ in range(50)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
    assert entrance.former.waiting == 1
    del calls
    assert _rows_alive() - before <= LEFT_ROWS_KEPT
    answers: Any = await asyncio.gather(*first)
    assert [answer.request_id for answer in answers] == ["0", "1"]


def _rows_alive() -> int:
    gc.collect()
    return sum(isinstance(item, ConvoyRow) for item in gc.get_objects())


@simulated
async def test_the_critical_wait_for_no_company_while_others_wait(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline, replace(BOUNDS, max_in_flight=1, max_window_ns=20 * MS))
    calls = [entrance.call() for _ in range(100)]  # the fair share becomes a full convoy
    await asyncio.sleep(0.119)
    calls.append(entrance.call(priority=batch_pb2.PRIORITY_CRITICAL))
    await asyncio.gather(*calls)
    departures = [call.at_s for call in entrance.world.calls("ingest")]
    gaps_ms = [round((later - one) * 1000) for one, later in itertools.pairwise(departures)]
    assert ["100"] in entrance.convoys()
    assert set(gaps_ms) == {30}


@simulated
async def test_a_row_that_failed_earlier_is_told_so_at_its_deadline(pipeline: Pipeline) -> None:
    entrance = Entrance(pipeline)
    entrance.world.behave = lambda hop, rows: (1.0 if hop == "inference" else 0.01, None)
    calls = [entrance.call(timeout_ms=100, x=-1.0), entrance.call(timeout_ms=100)]
    begun_ns = _now_ns()
    failed, late = await asyncio.gather(*calls)
    assert _now_ns() - begun_ns <= 100 * MS
    assert [call.request_ids for call in entrance.world.calls("inference")] == [["1"]]
    assert (_error(failed).code, _error(failed).message) == (Code.INTERNAL, "as told")
    assert _error(late).code is Code.DEADLINE_EXCEEDED


@simulated
async def test_background_requests_depart_last_never_with_others_and_in_small_convoys(
    pipeline: Pipeline,
) -> None:
    entrance = Entrance(pipeline, replace(BOUNDS, max_rows=200, max_queued_rows=1000))
    count = 2 * MIXED_BACKGROUND_ROWS
    background = [entrance.call(60_000, batch_pb2.PRIORITY_BACKGROUND) for _ in range(count)]
    others = [entrance.call(60_000, batch_pb2.PRIORITY_SHEDDABLE) for _ in range(3)]
    await asyncio.gather(*background, *others)
    first, *rest = entrance.convoys()
    assert first == [str(count + number) for number in range(3)]
    assert [name for convoy in rest for name in convoy] == [str(each) for each in range(count)]
    assert len(rest[0]) == MIXED_BACKGROUND_ROWS

    alone = [entrance.call(60_000, batch_pb2.PRIORITY_BACKGROUND) for _ in range(count)]
    await asyncio.gather(*alone)
    assert max(map(len, entrance.convoys())) > MIXED_BACKGROUND_ROWS
