"""Spans of requests, convoys and hop calls, on a simulated clock: one each, however they end."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tailrace.dispatcher.run_spans import RunSpans
from tailrace.gateway.arrival import RefusedRow
from tailrace.gateway.convoy import Convoy, ConvoyRow, Degradation, Outcome
from tailrace.gateway.convoy_control import ConvoyBounds
from tailrace.gateway.convoy_former import ChainRunner, ConvoyFormer
from tailrace.gateway.convoy_spans import ConvoySpans
from tailrace.gateway.predictor import Predictor
from tailrace.gateway.request_spans import RequestSpans
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.errors import (
    Code,
    InvalidField,
    NotFound,
    Reason,
    TailraceError,
    Unavailable,
)
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.slo_section import LatencyObjective, SloSection
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.span import Span, SpanKind
from tailrace.runtime.tracing.trace_context import new_trace, read_headers
from tailrace.runtime.tracing.tracing import Tracing, process_tracing
from tailrace.v1 import prediction_service_pb2
from tests.support.requests import predict_request
from tests.support.simulated_hops import OnePipeline, SimulatedChain
from tests.support.told_spans import ToldSpans, told_spans
from tests.support.virtual_time import run_virtually
from tests.support.written_pipeline import written_pipeline

MS = 1_000_000
HOPS = ["ingest", "inference", "postprocess"]
QUEUED_ROWS = 10
BOUNDS = ConvoyBounds(8, 2, 5 * MS, 500 * MS, QUEUED_ROWS, 1_000_000)
TRACE_ID, CALLER_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = {"traceparent": f"00-{TRACE_ID}-{CALLER_ID}-01", "tracestate": "a=1"}
EMPTY: Mapping[str, str] = {}
NOT_TRACED = {"traceparent": f"00-{TRACE_ID}-{CALLER_ID}-00"}


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return written_pipeline(Path(tempfile.mkdtemp()))


class Gateway:
    """Requests, or runs of submissions, hops that behave as told, and what was told of both.

    Attributes:
        hop_ms: how long each hop takes.
        fails: error of a hop's next calls, by hop.
        told: what was told.
        world: the hops.
        former: the entrance.
        predictor: takes requests.
    """

    def __init__(self, pipeline: Pipeline, told: ToldSpans) -> None:
        self.told = told
        self.hop_ms = 10.0
        self.fails: dict[str, list[TailraceError]] = {}
        self.world = SimulatedChain(self._behave)
        registry: Any = OnePipeline(ConvoyFormer(self.world.chain(pipeline), BOUNDS))
        self.former = registry.former
        self.predictor = Predictor(registry, GatewaySettings())

    def _behave(self, hop: str, rows: int) -> tuple[float, TailraceError | None]:
        fails = self.fails.get(hop)
        return self.hop_ms / 1000, fails.pop(0) if fails else None

    def call(
        self, *xs: float, timeout_s: float | None = 1.0, headers: Mapping[str, str] = EMPTY
    ) -> asyncio.Task[list[Outcome]]:
        """Asks for a prediction for each x, in one call; their ids are the xs."""
        requests = [
            predict_request("under-test", {"x": x}, request_id=f"{x:g}", tenant="acme") for x in xs
        ]
        return asyncio.ensure_future(self.predictor.predict(requests, timeout_s, headers))

    async def done(self) -> None:
        """Returns once nothing is under way any more, and all has been told."""
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        await asyncio.sleep(0)
        assert self.former.idle
        self.told.check()


Test = Callable[[Gateway], Coroutine[Any, Any, None]]


def simulated(**settings: Any) -> Callable[[Test], Callable[[Pipeline], None]]:
    """Runs a test on a simulated clock, with these settings of `Tracing`."""

    def decorate(test: Test) -> Callable[[Pipeline], None]:
        def run(pipeline: Pipeline) -> None:
            async def inside() -> None:
                with told_spans(**settings) as told:
                    await test(Gateway(pipeline, told))

            run_virtually(inside())

        run.__name__ = test.__name__
        return run

    return decorate


class _Degrades:
    """A chain whose lookups have failed, as the pipeline bears."""

    def __init__(self, chain: ChainRunner, degradation: Degradation) -> None:
        self.pipeline = chain.pipeline
        self._chain = chain
        self._degradation = degradation

    async def run(self, convoy: Convoy) -> None:
        convoy.degradations.append(self._degradation)
        await self._chain.run(convoy)


AFTERWARDS = {"sample_rate": 0.0, "afterwards_per_s": 100.0}


def _codes(spans: Sequence[Span]) -> list[str]:
    return [span.code.name for span in spans]


@simulated()
async def test_a_request_is_told_with_its_convoy_and_its_hops(gateway: Gateway) -> None:
    (answer,) = await gateway.call(1.0)
    await gateway.done()
    assert not isinstance(answer, TailraceError)
    predict, convoy = gateway.told.one(names.PREDICT), gateway.told.one(names.CONVOY)
    assert gateway.told.below(predict) == [convoy]
    assert [span.name for span in gateway.told.below(convoy)] == [f"hop {hop}" for hop in HOPS]
    assert (predict.kind, convoy.kind) == (SpanKind.SERVER, SpanKind.INTERNAL)
    assert {span.kind for span in gateway.told.below(convoy)} == {SpanKind.CLIENT}
    assert _codes(gateway.told.spans) == ["OK"] * 5
    assert predict.attributes[names.REQUEST_ID] == "1"
    assert predict.attributes[names.TENANT] == "acme"
    assert predict.attributes[names.PIPELINE_VERSION] == answer.pipeline_version
    assert predict.attributes[names.QUALITY] == "LIVE"
    assert predict.attributes[names.SAMPLED_BY] == "ratio"
    assert predict.attributes[names.DEADLINE_NS] == answer.ledger.deadline_ns
    assert predict.attributes[names.CONVOY_WAIT_NS] == answer.ledger.convoy_wait_ns
    assert predict.attributes[names.UNATTRIBUTED_NS] == answer.ledger.unattributed_ns
    assert convoy.attributes[names.ROWS] == 1
    assert convoy.attributes[names.FAILED_ROWS] == 0
    parts = ("start_ns", "duration_ns", "queue_ns", "network_ns", "work_ns", "budget_ns")
    for hop, entry, span in zip(
        HOPS, answer.ledger.entries, gateway.told.below(convoy), strict=True
    ):
        for part in parts:
            ledger = predict.attributes[names.ledger_attribute(hop, part)]
            assert ledger == getattr(entry, part)
        assert span.end_ns - span.start_ns == entry.duration_ns == 10 * MS
        assert span.attributes[names.NETWORK_NS] == entry.network_ns
        assert span.attributes[names.BUDGET_NS] == entry.budget_ns
        assert span.attributes[names.PLACEMENT] == "remote"
        assert span.attributes[names.ATTEMPTS] == span.attributes[names.ROWS] == 1
        assert span.attributes[names.CRITICAL] is True


@simulated()
async def test_convoys_and_rows_leave_nothing_to_collect(gateway: Gateway) -> None:
    gc.collect()
    gc.disable()
    try:
        gateway.hop_ms = 20.0
        calls = [gateway.call(float(x), timeout_s=0.05 if x > 5 else 1.0) for x in range(1, 9)]
        await asyncio.sleep(0.03)
        calls[0].cancel()
        await gateway.done()
        del calls
        left = [each for each in gc.get_objects() if isinstance(each, Convoy | ConvoyRow)]
    finally:
        gc.enable()
    assert len(gateway.told.named(names.PREDICT)) == 8
    assert left == []


@simulated()
async def test_a_hop_is_handed_the_place_of_its_span(gateway: Gateway) -> None:
    await gateway.call(1.0, headers=TRACED)
    await gateway.done()
    spans = {span.name: span for span in gateway.told.spans}
    for seen in gateway.world.seen:
        place = read_headers(seen.metadata)
        assert place is not None and place.sampled
        span = spans[f"hop {seen.hop}"]
        assert (place.trace_id, place.span_id) == (TRACE_ID, span.context.span_id)
        assert place.tracestate == "a=1"


@simulated(sample_rate=0.0)
async def test_requests_of_a_convoy_point_at_it_and_it_at_them(gateway: Gateway) -> None:
    first = gateway.call(1.0)
    others = [
        gateway.call(2.0, headers=TRACED),
        gateway.call(3.0),
        gateway.call(4.0, headers=TRACED),
    ]
    await asyncio.gather(first, *others)
    await gateway.done()
    assert len(gateway.told.named(names.PREDICT)) == 2
    convoy, lead = gateway.told.one(names.CONVOY), gateway.told.request("2")
    assert convoy.attributes[names.ROWS] == 4
    assert convoy.context.parent_id == lead.context.span_id
    assert [link.span_id for link in convoy.links] == [gateway.told.request("4").context.span_id]
    assert gateway.told.hops() == HOPS


@simulated(sample_rate=0.0, afterwards_per_s=0.0)
async def test_what_is_not_in_the_sample_is_not_told_and_hops_hear_of_no_trace(
    gateway: Gateway,
) -> None:
    gateway.fails = {"inference": [NotFound("no")]}
    await asyncio.gather(gateway.call(1.0), gateway.call(2.0, headers=NOT_TRACED))
    await gateway.done()
    assert gateway.told.spans == []
    assert [seen.metadata for seen in gateway.world.seen] == [{}, {}]


@pytest.mark.parametrize(
    ("follow", "headers", "told"),
    [
        (True, TRACED, 1),
        (True, NOT_TRACED, 0),
        (False, TRACED, 0),
        (False, NOT_TRACED, 0),
    ],
)
def test_a_callers_decision_holds_if_it_is_followed(
    pipeline: Pipeline, follow: bool, headers: dict[str, str], told: int
) -> None:
    @simulated(sample_rate=0.0, follow_callers=follow)
    async def run(gateway: Gateway) -> None:
        await gateway.call(1.0, headers=headers)
        await gateway.done()
        requests = gateway.told.named(names.PREDICT)
        assert len(requests) == told
        for span in requests:
            assert (span.context.trace_id, span.context.parent_id) == (TRACE_ID, CALLER_ID)
            assert span.context.tracestate == "a=1"
            assert span.attributes[names.SAMPLED_BY] == "caller"

    run(pipeline)


def test_a_run_that_cannot_begin_names_its_submission() -> None:
    told, error = ToldSpans(), NotFound("no pipeline 'gone'")
    row = RefusedRow("_OTHER", "0-abc", time.monotonic_ns(), 0, error, new_trace(sampled=True))
    RunSpans(Tracing(told)).take(row, error)
    assert told.one(names.PREDICT).attributes[names.PREDICTION_ID] == "0-abc"


def test_who_is_not_followed_cannot_choose_an_id_that_is_in_the_sample() -> None:
    tracing = Tracing(ToldSpans(), sample_rate=0.25, follow_callers=False)
    chosen = {"traceparent": f"00-{'a' * 16}{'0' * 15}1-{CALLER_ID}-01"}
    places = [tracing.begin(chosen) for _ in range(400)]
    assert {place.trace_id for place in places} == {"a" * 16 + "0" * 15 + "1"}
    assert 40 < sum(place.sampled for place in places) < 180


@pytest.mark.parametrize("state", ["a=" + "b" * 511, "a=ä", "a=1\r\nx: y", "a=\x00"])
def test_a_tracestate_that_cannot_be_passed_on_is_left_out(state: str) -> None:
    place = read_headers({**TRACED, "tracestate": state})
    assert place is not None and place.sampled
    assert place.headers() == (("traceparent", TRACED["traceparent"]),)


def test_a_tracestate_of_512_characters_is_passed_on() -> None:
    place = read_headers({**TRACED, "tracestate": "a=" + "b" * 510})
    assert place is not None and len(place.tracestate) == 512


@simulated()
async def test_a_hop_that_fails_ends_all_three_with_its_error(gateway: Gateway) -> None:
    error = Unavailable("no model", reason=Reason.MODEL_UNAVAILABLE)
    gateway.fails = {"inference": [error]}
    await gateway.call(1.0)
    await gateway.done()
    hop = gateway.told.one("hop inference")
    assert gateway.told.hops() == ["ingest", "inference"]
    for span in (hop, gateway.told.one(names.CONVOY), gateway.told.one(names.PREDICT)):
        assert (span.code, span.message) == (Code.UNAVAILABLE, "no model")
    assert hop.attributes[names.REASON] == "MODEL_UNAVAILABLE"
    predict = gateway.told.one(names.PREDICT)
    assert predict.attributes[names.ERROR_TYPE] == "UNAVAILABLE"
    assert predict.attributes[names.ledger_attribute("inference", "duration_ns")] == 10 * MS
    assert gateway.told.one(names.CONVOY).attributes[names.FAILED_ROWS] == 1


@simulated()
async def test_a_row_that_fails_alone_leaves_its_convoy_well(gateway: Gateway) -> None:
    await gateway.call(1.0, -2.0)
    await gateway.done()
    convoy = gateway.told.one(names.CONVOY)
    assert convoy.code is Code.OK
    assert (convoy.attributes[names.ROWS], convoy.attributes[names.FAILED_ROWS]) == (2, 1)
    assert gateway.told.request("1").code is Code.OK
    assert gateway.told.request("-2").code is Code.INTERNAL
    assert gateway.told.one("hop postprocess").attributes[names.ROWS] == 1


@simulated()
async def test_a_hop_call_that_is_retried_is_one_span_with_two_attempts(gateway: Gateway) -> None:
    gateway.fails = {"inference": [Unavailable("gone", reason=Reason.HOP_UNAVAILABLE)]}
    (answer,) = await gateway.call(1.0)
    await gateway.done()
    assert not isinstance(answer, TailraceError)
    hop = gateway.told.one("hop inference")
    assert (hop.code, hop.attributes[names.ATTEMPTS]) == (Code.OK, 2)
    assert hop.end_ns - hop.start_ns == 20 * MS
    places = [read_headers(seen.metadata) for seen in gateway.world.calls("inference")]
    assert [place and place.span_id for place in places] == [hop.context.span_id] * 2


@simulated()
async def test_a_hop_without_the_time_for_it_is_told_though_it_was_not_called(
    gateway: Gateway,
) -> None:
    gateway.hop_ms = 30.0
    await gateway.call(1.0, timeout_s=2.0)
    await gateway.done()
    gateway.told.spans.clear()
    await gateway.call(2.0, timeout_s=0.032)
    await gateway.done()
    predict = gateway.told.request("2")
    assert predict.code is Code.DEADLINE_EXCEEDED
    assert _codes(gateway.told.named(names.CONVOY)) == ["DEADLINE_EXCEEDED"]
    # Whether the hop was turned to or not: none is left open.
    assert len(gateway.told.hops()) == len(set(gateway.told.hops())) <= 2


@simulated()
async def test_a_deadline_that_passes_shows_the_hop_that_runs_until_then(gateway: Gateway) -> None:
    gateway.hop_ms = 40.0
    patient = gateway.call(1.0, timeout_s=2.0)
    hasty = gateway.call(2.0, timeout_s=0.06)
    await asyncio.gather(patient, hasty)
    await gateway.done()
    predict = gateway.told.request("2")
    assert predict.code is Code.DEADLINE_EXCEEDED
    assert names.ledger_attribute("postprocess", "duration_ns") not in predict.attributes
    spent = predict.attributes[names.ledger_attribute("inference", "duration_ns")]
    convoy = gateway.told.one(names.CONVOY)
    assert isinstance(spent, int)
    assert spent == predict.end_ns - convoy.start_ns - 40 * MS
    # The convoy went on for the other.
    assert convoy.code is Code.OK
    assert gateway.told.request("1").code is Code.OK
    assert gateway.told.hops() == HOPS


@simulated()
async def test_a_caller_who_leaves_ends_request_convoy_and_hop(gateway: Gateway) -> None:
    gateway.hop_ms = 1_000.0
    call = gateway.call(1.0, timeout_s=9.0)
    await asyncio.sleep(0.02)
    call.cancel()
    await asyncio.wait([call])
    await gateway.done()
    assert gateway.told.edges() == {
        ("", "predict"): 1,
        ("predict", "convoy"): 1,
        ("convoy", "hop ingest"): 1,
    }
    assert _codes(gateway.told.spans) == ["CANCELLED"] * 3
    assert {
        span.end_ns - gateway.told.one(names.PREDICT).start_ns for span in gateway.told.spans
    } == {20 * MS}


@simulated()
async def test_a_caller_who_leaves_a_convoy_before_it_began_to_run_is_told(
    gateway: Gateway,
) -> None:
    request = predict_request("under-test", {"x": 1.0})
    arrival = gateway.predictor.submit([request], 1.0, {}, 0, lambda *_: None)
    for _ in range(10):
        if gateway.former.convoys_under_way:
            break
        await asyncio.sleep(0)
    arrival.abandon()
    await gateway.done()
    assert not gateway.world.seen
    assert _codes(gateway.told.named(names.PREDICT)) == ["CANCELLED"]
    assert _codes(gateway.told.named(names.CONVOY)) == ["CANCELLED"]


@simulated()
async def test_one_who_leaves_the_queue_has_a_span_and_no_convoy(gateway: Gateway) -> None:
    gateway.hop_ms = 100.0
    for number in range(1, 3):
        gateway.call(float(number), timeout_s=9.0)
        await asyncio.sleep(0.01)
    waits = gateway.call(7.0, timeout_s=9.0)
    await asyncio.sleep(0.001)
    assert gateway.former.waiting == 1
    waits.cancel()
    await asyncio.wait([waits])
    await gateway.done()
    span = gateway.told.request("7")
    assert (span.code, span.links) == (Code.CANCELLED, [])
    assert not gateway.told.below(span)
    assert len(gateway.told.named(names.CONVOY)) == 2


@simulated(**AFTERWARDS)
async def test_what_failed_is_told_afterwards_with_convoy_and_hops(gateway: Gateway) -> None:
    gateway.fails = {"postprocess": [Unavailable("no", reason=Reason.MODEL_UNAVAILABLE)]}
    await gateway.call(1.0, 2.0)
    await gateway.done()
    first, second = gateway.told.request("1"), gateway.told.request("2")
    convoy = gateway.told.one(names.CONVOY)
    assert first.attributes[names.SAMPLED_BY] == second.attributes[names.SAMPLED_BY] == "failed"
    assert gateway.told.below(first) == [convoy]
    assert [link.span_id for link in convoy.links] == [second.context.span_id]
    assert gateway.told.hops() == HOPS
    # It was not known when the hops were called.
    assert [seen.metadata for seen in gateway.world.seen] == [{}] * 3


@simulated(**AFTERWARDS)
async def test_one_that_is_late_makes_a_trace_of_the_convoy_that_goes_on(gateway: Gateway) -> None:
    gateway.hop_ms = 40.0
    patient = gateway.call(1.0, timeout_s=2.0)
    hasty = gateway.call(2.0, timeout_s=0.06)
    await asyncio.gather(patient, hasty)
    await gateway.done()
    assert gateway.told.edges() == {
        ("", "predict"): 1,
        ("predict", "convoy"): 1,
        ("convoy", "hop ingest"): 1,
        ("convoy", "hop inference"): 1,
        ("convoy", "hop postprocess"): 1,
    }
    assert gateway.told.request("2").code is Code.DEADLINE_EXCEEDED


@simulated(**AFTERWARDS)
async def test_what_the_caller_did_wrong_is_not_told_afterwards(gateway: Gateway) -> None:
    gateway.fails = {"ingest": [InvalidField("no", field="fields.x")]}
    await gateway.call(1.0)
    bad = predict_request("under-test", {"x": 1.0}, request_id="with spaces")
    (refused,) = await gateway.predictor.predict([bad], 1.0, {})
    assert isinstance(refused, InvalidField)
    await gateway.done()
    assert gateway.told.spans == []


@simulated()
async def test_what_is_refused_on_arrival_is_told(gateway: Gateway) -> None:
    bad = predict_request("under-test", {"x": 1.0}, request_id="with spaces")
    (refused,) = await gateway.predictor.predict([bad], 1.0, {})
    assert isinstance(refused, InvalidField)
    span = gateway.told.one(names.PREDICT)
    assert span.code is Code.INVALID_ARGUMENT
    assert span.attributes[names.REASON] == "INVALID_FIELD"


@simulated(**AFTERWARDS)
async def test_a_deadline_spent_on_arrival_is_told_without_a_convoy(gateway: Gateway) -> None:
    await gateway.call(1.0, timeout_s=0.0)
    await gateway.done()
    (span,) = gateway.told.spans
    assert (span.name, span.code) == (names.PREDICT, Code.DEADLINE_EXCEEDED)
    assert not gateway.world.seen


@simulated(**AFTERWARDS)
async def test_those_refused_by_a_full_queue_are_told_once_each(gateway: Gateway) -> None:
    gateway.hop_ms = 100.0
    xs = [float(number) for number in range(1, QUEUED_ROWS + 6)]
    outcomes = await gateway.call(*xs, timeout_s=9.0)
    await gateway.done()
    refused = [each for each in outcomes if isinstance(each, TailraceError)]
    assert {error.code for error in refused} == {Code.RESOURCE_EXHAUSTED}
    assert len(gateway.told.named(names.PREDICT)) == len(refused) == 5
    assert not gateway.told.named(names.CONVOY)


@simulated(sample_rate=0.0, afterwards_per_s=100.0, slow_share=0.5)
async def test_what_takes_more_than_its_share_of_the_deadline_is_told_as_slow(
    gateway: Gateway,
) -> None:
    await gateway.call(1.0, timeout_s=0.062)
    assert not gateway.told.spans
    await gateway.call(2.0, timeout_s=0.058)
    await gateway.done()
    span = gateway.told.one(names.PREDICT)
    assert (span.code, span.attributes[names.SAMPLED_BY]) == (Code.OK, "slow")
    assert gateway.told.hops() == HOPS


def test_what_takes_longer_than_the_objective_is_told_as_slow(tmp_path: Path) -> None:
    plain = written_pipeline(tmp_path)
    slo = SloSection(
        latency=[
            LatencyObjective(percentile=50, within_ms=5),
            LatencyObjective(percentile=99, within_ms=31),
            LatencyObjective(percentile=99.9, within_ms=1, hop="inference"),
        ]
    )
    pipeline = replace(plain, spec=plain.spec.model_copy(update={"slo": slo}))

    @simulated(sample_rate=0.0, afterwards_per_s=100.0)
    async def run(gateway: Gateway) -> None:
        await gateway.call(1.0)
        await gateway.done()
        assert not gateway.told.spans
        gateway.hop_ms = 10.5
        await gateway.call(2.0)
        await gateway.done()
        assert gateway.told.one(names.PREDICT).attributes[names.SAMPLED_BY] == "slow"

    run(pipeline)


@simulated(**AFTERWARDS)
async def test_an_answer_from_defaults_for_a_failed_lookup_is_told_as_failed(
    gateway: Gateway,
) -> None:
    degradation = Degradation(
        prediction_service_pb2.QUALITY_DEFAULT_FEATURES,
        "features failed: HOP_UNAVAILABLE",
        frozenset({0, 1}),
    )
    gateway.former.chain = _Degrades(gateway.former.chain, degradation)
    answers = await gateway.call(1.0, 2.0)
    await gateway.done()
    assert not any(isinstance(answer, TailraceError) for answer in answers)
    for span in gateway.told.named(names.PREDICT):
        assert span.code is Code.OK
        assert span.attributes[names.SAMPLED_BY] == "failed"
        assert span.attributes[names.QUALITY] == "DEFAULT_FEATURES"
        assert span.attributes[names.REASON] == "features failed: HOP_UNAVAILABLE"
    assert len(gateway.told.named(names.PREDICT)) == 2


@simulated(sample_rate=0.0, afterwards_per_s=2.0)
async def test_no_more_are_told_afterwards_than_are_allowed(gateway: Gateway) -> None:
    error = Unavailable("no", reason=Reason.MODEL_UNAVAILABLE)
    gateway.fails = {"ingest": [error] * 3}
    await gateway.call(1.0, 2.0, 3.0, 4.0, 5.0)
    await gateway.done()
    assert len(gateway.told.named(names.PREDICT)) == 2
    assert len(gateway.told.named(names.CONVOY)) == 1
    await gateway.call(6.0)
    await gateway.done()
    assert len(gateway.told.named(names.PREDICT)) == 2
    await asyncio.sleep(0.6)
    await gateway.call(7.0)
    await gateway.done()
    assert gateway.told.request("7").attributes[names.SAMPLED_BY] == "failed"


@simulated()
async def test_what_nobody_foresaw_ends_every_span(gateway: Gateway) -> None:
    broken: Any = RuntimeError("a bug")
    gateway.fails = {"inference": [broken]}
    await gateway.call(1.0, 2.0)
    await gateway.done()
    assert gateway.told.one("hop inference").code is Code.INTERNAL
    convoy = gateway.told.one(names.CONVOY)
    assert (convoy.code, convoy.attributes[names.FAILED_ROWS]) == (Code.INTERNAL, 2)
    assert _codes(gateway.told.named(names.PREDICT)) == ["INTERNAL"] * 2
    assert not any("a bug" in span.message for span in gateway.told.spans)


@simulated(sample_rate=0.0, afterwards_per_s=100.0)
async def test_a_run_is_slow_by_its_deadline_and_not_by_an_objective(gateway: Gateway) -> None:
    plain = gateway.former.chain.pipeline
    slo = SloSection(latency=[LatencyObjective(percentile=99, within_ms=1)])
    pipeline = replace(plain, spec=plain.spec.model_copy(update={"slo": slo}))
    row, late = (
        _settled_row(took_ns=50 * MS, granted_ns=granted) for granted in (80 * MS, 60 * MS)
    )
    for each in (row, late):
        convoy = Convoy(pipeline, [each])
        ConvoySpans(process_tracing(), pipeline).departs(convoy)
        assert convoy.objective_ns == MS
        each.holder = _InConvoy(convoy)
    tracing = Tracing(gateway.told, afterwards_per_s=100.0, slow_share=0.7)
    answer = prediction_service_pb2.PredictResponse(quality=prediction_service_pb2.QUALITY_LIVE)
    runs = RunSpans(tracing)
    assert [runs.take(each, answer) for each in (row, late)] == [False, True]
    assert RequestSpans(tracing).take(row, answer)
    assert [span.kind for span in gateway.told.spans] == [SpanKind.CONSUMER, SpanKind.SERVER]


class _InConvoy:
    """What a row is in."""

    def __init__(self, convoy: Convoy) -> None:
        self.convoy = convoy

    def row_left(self, row: ConvoyRow) -> None:
        raise AssertionError("it has its outcome already")


def _settled_row(took_ns: int, granted_ns: int) -> ConvoyRow:
    received_ns = time.monotonic_ns() - took_ns
    return ConvoyRow(
        pipeline="under-test",
        request_id="r",
        fields={},
        deadline_ns=received_ns + granted_ns,
        granted_ns=granted_ns,
        received_ns=received_ns,
        settled=True,
    )
