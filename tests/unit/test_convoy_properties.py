"""Random arrivals, deadlines, failures and cancellations: each request has its one own answer."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.gateway.arrival import TICK_NS, CallArrival
from tailrace.gateway.convoy import ConvoyRow, Outcome
from tailrace.gateway.convoy_control import ConvoyBounds
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.outcome_account import OutcomeAccount
from tailrace.runtime.errors import Code, Internal, TailraceError, Unavailable
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.v1 import batch_pb2, prediction_service_pb2
from tests.support.simulated_hops import FAILS_AT, SimulatedChain
from tests.support.virtual_time import run_virtually
from tests.support.written_pipeline import written_pipeline

MS = 1_000_000
BOUNDS = ConvoyBounds(
    max_rows=8,
    max_in_flight=3,
    max_window_ns=5 * MS,
    target_ns=100 * MS,
    max_queued_rows=40,
    max_bytes=1_000_000,
)
# What a timer of the event loop may be late or early, on top of the gateway's own tick.
SLACK_NS = TICK_NS + MS


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return written_pipeline(Path(tempfile.mkdtemp()))


@dataclass
class Call:
    """One caller: when it calls, with what, for how long, and when it leaves."""

    at_ms: int
    xs: list[float]
    timeout_ms: int
    leaves_after_ms: int | None
    priority: Any
    outcomes: list[Outcome] | None = None
    answered_ns: int = 0
    rows: list[ConvoyRow] = field(default_factory=list)


calls = st.builds(
    Call,
    at_ms=st.integers(0, 200),
    xs=st.lists(st.sampled_from([*FAILS_AT, *map(float, range(1, 90))]), min_size=1, max_size=6),
    timeout_ms=st.integers(1, 150),
    leaves_after_ms=st.none() | st.integers(0, 60),
    priority=st.sampled_from(sorted(batch_pb2.Priority.values())),
)
hop_times = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([None, None, None, None, Internal, Unavailable])),
    min_size=1,
    max_size=20,
)


def _row(call: Call, number: int, place: int, now_ns: int) -> ConvoyRow:
    request = prediction_service_pb2.PredictRequest()
    request.fields["x"].double_value = call.xs[place]
    return ConvoyRow(
        pipeline="under-test",
        request_id=f"{number}-{place}",
        fields=request.fields,
        deadline_ns=now_ns + call.timeout_ms * MS,
        granted_ns=call.timeout_ms * MS,
        received_ns=now_ns,
        priority=call.priority,
        data=request.SerializeToString(),
    )


async def _caller(former: ConvoyFormer, call: Call, number: int) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(call.at_ms / 1000)
    now_ns = round(loop.time() * 1e9)
    arrival = CallArrival(OutcomeAccount(0.0), len(call.xs))
    call.rows = [_row(call, number, place, now_ns) for place in range(len(call.xs))]
    for place, row in enumerate(call.rows):
        arrival.add(row, place)
    former.submit(call.rows)
    arrival.watch()
    waiting = asyncio.ensure_future(arrival.outcomes())
    if call.leaves_after_ms is not None:
        await asyncio.wait([waiting], timeout=call.leaves_after_ms / 1000)
        if not waiting.done():
            waiting.cancel()
            await asyncio.wait([waiting])
            return
    call.outcomes = await waiting
    call.answered_ns = round(loop.time() * 1e9) - now_ns


def _simulate(
    pipeline: Pipeline, all_calls: list[Call], hops: list[Any]
) -> tuple[SimulatedChain, ConvoyFormer]:
    steps = iter(range(10**9))

    def behave(hop: str, rows: int) -> tuple[float, TailraceError | None]:
        takes_ms, failure = hops[next(steps) % len(hops)]
        return takes_ms / 1000, None if failure is None else failure("as told")

    world = SimulatedChain(behave)

    async def run() -> ConvoyFormer:
        former = ConvoyFormer(world.chain(pipeline), BOUNDS)
        callers = [_caller(former, call, number) for number, call in enumerate(all_calls)]
        await asyncio.gather(*callers)
        # Whatever still runs for nobody has been cancelled, and ends.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=1)
        assert not asyncio.all_tasks() - {asyncio.current_task()}
        return former

    return world, run_virtually(run())


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(all_calls=st.lists(calls, min_size=1, max_size=40), hops=hop_times)
def test_every_request_has_exactly_one_answer_its_own_and_in_time(
    pipeline: Pipeline, all_calls: list[Call], hops: list[Any]
) -> None:
    world, former = _simulate(pipeline, all_calls, hops)

    for number, call in enumerate(all_calls):
        assert all(row.settled for row in call.rows)
        if call.outcomes is None:
            assert call.leaves_after_ms is not None
            continue
        assert len(call.outcomes) == len(call.xs)
        assert call.answered_ns <= call.timeout_ms * MS + SLACK_NS
        for place, (x, outcome) in enumerate(zip(call.xs, call.outcomes, strict=True)):
            if isinstance(outcome, TailraceError):
                assert outcome.code is not Code.OK
                continue
            assert outcome.request_id == f"{number}-{place}"
            assert outcome.prediction["score"].double_value == x
            assert x not in FAILS_AT
    # Nothing waits, and nothing is under way for nobody.
    assert former.idle
    for seen in world.seen:
        assert len(seen.request_ids) <= BOUNDS.max_rows
        assert len(set(seen.request_ids)) == len(seen.request_ids)
    ingested = Counter(name for call in world.calls("inference") for name in call.request_ids)
    # At most one attempt more, where a hop was unavailable.
    assert all(count <= 2 for count in ingested.values())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(all_calls=st.lists(calls, min_size=1, max_size=40), takes_ms=st.integers(1, 20))
def test_rows_that_have_left_are_not_sent_to_the_next_hop(
    pipeline: Pipeline, all_calls: list[Call], takes_ms: int
) -> None:
    world, _ = _simulate(pipeline, all_calls, [(takes_ms, None)])
    left_s = {}
    for number, call in enumerate(all_calls):
        if call.outcomes is None and call.leaves_after_ms is not None:
            at_s = 1_000.0 + (call.at_ms + call.leaves_after_ms) / 1000
            for place in range(len(call.xs)):
                left_s[f"{number}-{place}"] = at_s
    for seen in world.seen:
        for name in seen.request_ids:
            assert seen.at_s <= left_s.get(name, 1e9) + 1e-6
