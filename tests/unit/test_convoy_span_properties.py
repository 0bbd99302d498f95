"""Random convoys: whatever happens, each request, convoy and hop call is told exactly once."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tailrace.gateway.convoy import Convoy, Outcome
from tailrace.gateway.convoy_control import ConvoyBounds
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.predictor import Predictor
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.errors import Code, Internal, InvalidField, TailraceError, Unavailable
from tailrace.runtime.fault_codes import CALLERS_CODES
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.trace_context import new_trace_id
from tests.support.requests import predict_request
from tests.support.simulated_hops import FAILS_AT, OnePipeline, SimulatedChain
from tests.support.told_spans import ToldSpans, told_spans
from tests.support.virtual_time import run_virtually
from tests.support.written_pipeline import written_pipeline

MS = 1_000_000
BOUNDS = ConvoyBounds(6, 2, 5 * MS, 100 * MS, 12, 1_000_000)


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
    sampled: bool


calls = st.builds(
    Call,
    at_ms=st.integers(0, 60),
    xs=st.lists(st.sampled_from([*FAILS_AT, 1.0, 2.0, 3.0]), min_size=1, max_size=5),
    timeout_ms=st.integers(0, 120),
    leaves_after_ms=st.none() | st.integers(0, 60),
    sampled=st.booleans(),
)
hop_times = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from([None, None, None, Internal, Unavailable, InvalidField, RuntimeError]),
    ),
    min_size=1,
    max_size=20,
)


class Seen:
    """What happened, without the spans."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.sampled: set[str] = set()
        self.convoys: list[Convoy] = []
        self.told = ToldSpans()


async def _caller(predictor: Predictor, call: Call, number: int, seen: Seen) -> None:
    await asyncio.sleep(call.at_ms / 1000)
    requests = [
        predict_request("under-test", {"x": x}, request_id=f"{number}-{place}")
        for place, x in enumerate(call.xs)
    ]
    if call.sampled:
        seen.sampled |= {request.request_id for request in requests}
    flags = "01" if call.sampled else "00"
    headers = {"traceparent": f"00-{new_trace_id()}-{'b' * 16}-{flags}"}

    def deliver(place: int, request_id: str, outcome: Outcome) -> None:
        assert request_id not in seen.outcomes
        seen.outcomes[request_id] = outcome

    arrival = predictor.submit(requests, call.timeout_ms / 1000, headers, 0, deliver)
    if call.leaves_after_ms is not None:
        await asyncio.sleep(call.leaves_after_ms / 1000)
        arrival.abandon()


def _simulate(
    pipeline: Pipeline, all_calls: list[Call], hops: list[Any], afterwards_per_s: float
) -> Seen:
    seen, steps = Seen(), iter(range(10**9))

    def behave(hop: str, rows: int) -> tuple[float, Any]:
        takes_ms, failure = hops[next(steps) % len(hops)]
        return takes_ms / 1000, None if failure is None else failure("as told")

    async def run() -> None:
        with told_spans(sample_rate=0.0, afterwards_per_s=afterwards_per_s) as seen.told:
            chain = SimulatedChain(behave).chain(pipeline)
            former = ConvoyFormer(chain, BOUNDS)
            travel = chain.run

            async def run_seen(convoy: Convoy) -> None:
                seen.convoys.append(convoy)
                await travel(convoy)

            chain.run = run_seen  # type: ignore[method-assign]  # to see who travels together
            registry: Any = OnePipeline(former)
            predictor = Predictor(registry, GatewaySettings())
            callers = [
                _caller(predictor, call, number, seen) for number, call in enumerate(all_calls)
            ]
            await asyncio.gather(*callers)
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others)
            await asyncio.sleep(1)
            assert former.idle

    # Lines on a terminal would take longer than all the rest.
    with capture_logs():
        run_virtually(run())
    return seen


def _failed(outcome: Outcome) -> bool:
    return isinstance(outcome, TailraceError) and outcome.code not in CALLERS_CODES


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    all_calls=st.lists(calls, min_size=1, max_size=25),
    hops=hop_times,
    afterwards_per_s=st.sampled_from([0.0, 3.0, 1e6]),
)
def test_each_request_convoy_and_hop_call_is_told_once(
    pipeline: Pipeline, all_calls: list[Call], hops: list[Any], afterwards_per_s: float
) -> None:
    seen = _simulate(pipeline, all_calls, hops, afterwards_per_s)
    told = seen.told
    told.check()

    assert len(seen.outcomes) == sum(len(call.xs) for call in all_calls)
    spans = Counter(span.attributes[names.REQUEST_ID] for span in told.named(names.PREDICT))
    assert all(count == 1 for count in spans.values())
    assert seen.sampled <= set(spans)
    failed = {name for name, outcome in seen.outcomes.items() if _failed(outcome)}
    if afterwards_per_s == 0.0:
        assert set(spans) == seen.sampled
    elif afterwards_per_s == 1e6:
        assert failed <= set(spans)
    for name in spans:
        outcome = seen.outcomes[str(name)]
        code = outcome.code if isinstance(outcome, TailraceError) else Code.OK
        assert told.request(str(name)).code is code

    # Those of the convoys that have run; one that all left before has no hops.
    traced = [
        convoy for convoy in seen.convoys if any(row.request_id in spans for row in convoy.rows)
    ]
    assert [convoy for convoy in seen.convoys if convoy.trace is not None] == traced
    by_id = {span.context.span_id: span for span in told.named(names.CONVOY)}
    for convoy in traced:
        assert convoy.trace is not None
        span = by_id[convoy.trace.span_id]
        carried = {span.context.parent_id, *(link.span_id for link in span.links)}
        assert carried == {row.trace.span_id for row in convoy.rows if row.request_id in spans}
        assert len(told.below(span)) == len(convoy.book.spent)
        assert span.attributes[names.ROWS] == len(convoy.rows)
    assert len(told.hops()) == sum(len(convoy.book.spent) for convoy in traced)
