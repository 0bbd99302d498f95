from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from tailrace.loadtest.bench.generator.answers import WrongPlacement, response_reading
from tailrace.loadtest.bench.generator.calls import closed_loop, every_score, open_loop
from tailrace.loadtest.bench.generator.connections import Connections
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.loadtest.bench.generator.orders import Endpoint, Order, Outcome
from tailrace.loadtest.bench.generator.streams import every_stream_score, stream_loop
from tailrace.loadtest.bench.generator.ticks import Ticks
from tailrace.loadtest.bench.generators import Generators, share_of
from tailrace.loadtest.bench.process_usage import ProcessUsage
from tailrace.v1 import ledger_pb2, prediction_service_pb2, tensor_pb2

Context = grpc.aio.ServicerContext[bytes, bytes]
ROWS = 4
SCORES = [place / 64 for place in range(64)]
REMOTE = int(ledger_pb2.PLACEMENT_REMOTE)


def scored(text: bytes) -> bytes:
    tensor = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[1])
    tensor.data = np.array([SCORES[int(text)]], "<f4").tobytes()
    return tensor.SerializeToString()


@dataclass
class Server:
    """Answers the place of a message with its score, alone or on streams.

    Attributes:
        target: where it is.
        in_flight: calls at this moment.
        most_in_flight: at any moment.
        peers: addresses that called.
        refuse_every: every so manieth call or row fails; 0 for none.
        quality: of answers on streams.
    """

    target: str = ""
    in_flight: int = 0
    most_in_flight: int = 0
    peers: set[str] = field(default_factory=set)
    calls: int = 0
    refuse_every: int = 0
    quality: prediction_service_pb2.Quality.ValueType = prediction_service_pb2.QUALITY_LIVE

    async def call(self, request: bytes, context: Context) -> bytes:
        self.peers.add(context.peer())
        self.calls += 1
        number = self.calls
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            # Lets the others in.
            await asyncio.sleep(0)
            if self.refuse_every and number % self.refuse_every == 0:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "refused")
            return scored(request)
        finally:
            self.in_flight -= 1

    async def stream(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        self.peers.add(context.peer())
        place = 0
        async for data in requests:
            message = prediction_service_pb2.PredictStreamRequest.FromString(data)
            results = []
            for request in message.requests:
                results.append(self._result(place, request.request_id))
                place += 1
            random.Random(place).shuffle(results)
            for half in (results[:1], results[1:]):
                answer = prediction_service_pb2.PredictStreamResponse(results=half)
                yield answer.SerializeToString()

    def _result(self, place: int, score: str) -> prediction_service_pb2.PredictStreamResult:
        result = prediction_service_pb2.PredictStreamResult(place=place)
        if self.refuse_every and place % self.refuse_every == self.refuse_every - 1:
            result.error.code = grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
        else:
            result.response.prediction["probability"].double_value = float(score)
            result.response.quality = self.quality
            result.response.ledger.entries.add(placement=ledger_pb2.PLACEMENT_REMOTE)
        return result


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    answering = Server()
    methods: dict[str, Any] = {
        "Call": grpc.unary_unary_rpc_method_handler(answering.call),
        "Stream": grpc.stream_stream_rpc_method_handler(answering.stream),
    }
    running = grpc.aio.server()
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Row", methods),))
    answering.target = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    await running.start()
    yield answering
    await running.stop(None)


@pytest.fixture
async def connections() -> AsyncIterator[Connections]:
    opened = Connections()
    yield opened
    await opened.close()


def unary(server: Server, **more: Any) -> Order:
    endpoint = Endpoint(
        target=server.target, method="/test.Row/Call", messages_file="", answers="chain"
    )
    return Order(**{"work": "closed", "endpoint": endpoint, **more})


def streaming(server: Server, **more: Any) -> Order:
    endpoint = Endpoint(
        target=server.target,
        method="/test.Row/Stream",
        messages_file="",
        answers="mesh_stream",
        rows=ROWS,
        placement=REMOTE,
    )
    return Order(**{"work": "closed", "endpoint": endpoint, **more})


def soon() -> float:
    return time.monotonic() + 0.02


def single_rows(expected: list[float]) -> Messages:
    return Messages([b"%d" % place for place in range(64)], [[score] for score in expected])


def many_rows() -> Messages:
    firsts = range(0, 64, ROWS)
    data = [
        prediction_service_pb2.PredictStreamRequest(
            requests=[
                prediction_service_pb2.PredictRequest(request_id=str(score))
                for score in SCORES[first : first + ROWS]
            ]
        ).SerializeToString()
        for first in firsts
    ]
    return Messages(data, [SCORES[first : first + ROWS] for first in firsts])


async def test_a_closed_loop_keeps_so_many_in_flight_on_so_many_connections(
    server: Server, connections: Connections
) -> None:
    channels = connections.open(server.target, 3)
    order = unary(server, in_flight=9, starts_at=soon(), ramp_s=0.2, seconds=0.2)
    outcome = await closed_loop(channels, order, single_rows(SCORES))
    assert outcome.answered == server.calls
    assert 0 < outcome.counted < outcome.answered
    assert len(outcome.latencies_us) == outcome.counted
    assert 1 < server.most_in_flight <= 9
    assert len(server.peers) == 3
    assert outcome.checked == outcome.answered // 61
    assert (outcome.wrong, outcome.failed) == (0, {})


async def test_scores_other_than_expected_are_counted(
    server: Server, connections: Connections
) -> None:
    channels = connections.open(server.target, 1)
    order = unary(server, in_flight=8, starts_at=soon(), seconds=0.3)
    outcome = await closed_loop(channels, order, single_rows([score + 0.01 for score in SCORES]))
    assert outcome.wrong == outcome.checked > 0


async def test_failed_calls_are_counted_by_status_and_give_no_latency(
    server: Server, connections: Connections
) -> None:
    server.refuse_every = 3
    channels = connections.open(server.target, 1)
    order = unary(server, in_flight=4, starts_at=soon(), seconds=0.2)
    outcome = await closed_loop(channels, order, single_rows(SCORES))
    assert outcome.failed == {"UNAVAILABLE": server.calls // 3}
    assert outcome.answered == server.calls - server.calls // 3
    assert len(outcome.latencies_us) <= outcome.answered


async def test_an_open_loop_sends_at_its_rate_and_counts_from_the_intended_instant(
    server: Server, connections: Connections
) -> None:
    channels = connections.open(server.target, 2)
    starts_at = soon()
    order = unary(server, work="open", rate=500.0, starts_at=starts_at, ramp_s=0.099, seconds=0.2)
    # Holds up the loop at the start: what was due meanwhile is sent late, and none is left out.
    asyncio.get_running_loop().call_later(0.15, time.sleep, 0.1)
    outcome = await open_loop(channels, order, single_rows(SCORES))
    assert outcome.answered == server.calls == 150
    assert len(outcome.latencies_us) == 100
    assert max(outcome.latencies_us) > 50_000


async def test_scores_come_in_the_order_of_the_messages(
    server: Server, connections: Connections
) -> None:
    channels = connections.open(server.target, 1)
    outcome = await every_score(channels, unary(server, messages=40), single_rows([]))
    assert outcome.scores == SCORES[:40]
    outcome = await every_stream_score(channels, streaming(server, messages=10), many_rows())
    assert outcome.scores == SCORES[:40]


async def test_every_stream_gets_its_share_and_every_row_is_counted(
    server: Server, connections: Connections
) -> None:
    channels = connections.open(server.target, 2)
    order = streaming(server, in_flight=5, starts_at=soon(), seconds=0.3)
    outcome = await stream_loop(channels, order, many_rows())
    assert len(server.peers) == 2
    assert outcome.answered % ROWS == 0
    assert 0 < outcome.counted <= outcome.answered
    assert len(outcome.latencies_us) <= outcome.answered // ROWS
    assert outcome.checked > 0
    assert (outcome.wrong, outcome.failed) == (0, {})


async def test_another_score_is_wrong_only_in_an_answer_that_calls_itself_live(
    server: Server, connections: Connections
) -> None:
    channels = connections.open(server.target, 1)
    right = many_rows()
    messages = Messages(right.data, [[score + 0.01 for score in row] for row in right.expected])
    for quality in (
        prediction_service_pb2.QUALITY_LIVE,
        prediction_service_pb2.QUALITY_DEFAULT_FEATURES,
    ):
        server.quality = quality
        order = streaming(server, in_flight=4, starts_at=soon(), seconds=0.2)
        outcome = await stream_loop(channels, order, messages)
        live = quality == prediction_service_pb2.QUALITY_LIVE
        assert outcome.checked > 0
        assert outcome.wrong == (outcome.checked if live else 0)
        assert outcome.degraded == (0 if live else outcome.checked)


async def test_rows_that_fail_on_a_stream_are_counted_by_status(
    server: Server, connections: Connections
) -> None:
    server.refuse_every = 8
    channels = connections.open(server.target, 1)
    order = streaming(server, in_flight=4, starts_at=soon(), seconds=0.2)
    outcome = await stream_loop(channels, order, many_rows())
    sent = outcome.answered + outcome.failed["DEADLINE_EXCEEDED"]
    assert sent % ROWS == 0
    assert outcome.failed == {"DEADLINE_EXCEEDED": sent // 8}
    # Every second message has one that failed.
    assert len(outcome.latencies_us) <= (sent // ROWS + 1) // 2


async def test_ticks_come_at_the_intended_instants_also_when_read_late() -> None:
    starts_at = soon()
    async with Ticks(200.0, starts_at) as ticks:
        await asyncio.sleep(starts_at - time.monotonic())
        # Holds up the loop.
        time.sleep(0.05)  # noqa: ASYNC251
        instants: list[int] = []
        while len(instants) < 15:
            instants += await ticks.due()
    first = round(starts_at * 1e9)
    assert instants == [first + place * 5_000_000 for place in range(len(instants))]


@pytest.mark.parametrize("place", [REMOTE, int(ledger_pb2.PLACEMENT_LOCAL)])
def test_a_hop_that_ran_elsewhere_is_an_error(place: int) -> None:
    response = prediction_service_pb2.PredictResponse()
    response.prediction["probability"].double_value = 0.25
    response.ledger.entries.add(placement=ledger_pb2.PLACEMENT_REMOTE)
    if place == REMOTE:
        assert response_reading(response, place).scores == [0.25]
    else:
        with pytest.raises(WrongPlacement):
            response_reading(response, place)
    with pytest.raises(WrongPlacement):
        response_reading(prediction_service_pb2.PredictResponse(), place)


def order_of(**more: Any) -> Order:
    endpoint = Endpoint(target="t", method="m", messages_file="f", answers="triton")
    return Order(**{"work": "closed", "endpoint": endpoint, "connections": 8, **more})


def test_processes_share_what_is_in_flight() -> None:
    shares = [share_of(order_of(in_flight=9), place, 2) for place in range(2)]
    assert [share.in_flight for share in shares if share] == [5, 4]
    assert [share.connections for share in shares if share] == [4, 4]
    assert share_of(order_of(in_flight=1), 1, 2) is None


def test_processes_take_turns_at_a_fixed_rate() -> None:
    shares = [share_of(order_of(work="open", rate=100.0, starts_at=5.0), n, 2) for n in range(2)]
    assert [share.rate for share in shares if share] == [50, 50]
    assert [share.starts_at for share in shares if share] == [5.0, 5.01]


def test_orders_and_outcomes_travel_as_lines() -> None:
    endpoint = Endpoint(
        target="t", method="m", messages_file="f", answers="triton", calibration=(0.5, -0.25)
    )
    order = Order(work="open", endpoint=endpoint, rate=12.5, starts_at=1.25)
    assert Order.from_line(order.to_line()) == order
    outcome = Outcome(answered=2, counted=1, latencies_us=[7], failed={"UNKNOWN": 3})
    assert Outcome.from_line(outcome.to_line()) == outcome
    outcome.add(Outcome(answered=5, latencies_us=[9], failed={"UNKNOWN": 1, "ABORTED": 1}))
    assert outcome.answered == 7
    assert outcome.latencies_us == [7, 9]
    assert outcome.failed == {"UNKNOWN": 4, "ABORTED": 1}


async def test_generator_processes_carry_out_an_order_together(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "messages.json"
    single_rows(SCORES).write(file)
    endpoint = Endpoint(
        target=server.target, method="/test.Row/Call", messages_file=str(file), answers="chain"
    )
    with Generators(2) as generators:
        scores = await generators.scores(Order(work="scores", endpoint=endpoint, messages=64))
        order = Order(
            work="closed", endpoint=endpoint, in_flight=4, connections=4, ramp_s=0.1, seconds=0.3
        )
        outcome = await generators.load(order)
        used = ProcessUsage({"generator": generators.pids})
        assert used.resident_bytes()["generator"] > 0
        assert used.cpu_s()["generator"] > 0
    assert scores == SCORES
    assert outcome.answered == server.calls - 64
    assert outcome.wrong == 0
    assert len(server.peers) == 4
