"""What the clients do while a gateway comes and goes; a scripted one, as a real one cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from tailrace.client import (
    AsyncClient,
    Client,
    InvalidRequest,
    Overloaded,
    Submission,
    SubmittedPrediction,
    Unavailable,
)
from tailrace.runtime.error_mapping import status_of
from tailrace.runtime.errors import QueueUnavailable
from tailrace.v1 import prediction_service_pb2 as messages
from tailrace.v1 import prediction_service_pb2_grpc
from tests.support.small_gateway import SmallGateway

Context = grpc.aio.ServicerContext[Any, Any]
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class FlakyGateway(SmallGateway):
    """Takes submissions, in the order of its script.

    Attributes:
        script: codes with which the next calls fail; then they succeed.
        fails_within: how many submissions of the next messages are unavailable by themselves.
        keys: idempotency keys that were received, call by call.
        positions: from which position each watch began.
    """

    def __init__(self) -> None:
        super().__init__()
        self.script: list[grpc.StatusCode] = []
        self.fails_within = 0
        self.keys: list[list[str]] = []
        self.positions: list[str] = []

    async def SubmitPrediction(  # type: ignore[override]  # answers
        self, request: messages.SubmitPredictionRequest, context: Context
    ) -> messages.SubmitPredictionResponse:
        """Answers one."""
        await self._take([request.submission], context)
        return messages.SubmitPredictionResponse(submitted=_submitted(request.submission))

    async def SubmitPredictions(  # type: ignore[override]  # answers
        self, request: messages.SubmitPredictionsRequest, context: Context
    ) -> messages.SubmitPredictionsResponse:
        """Answers each."""
        await self._take(request.submissions, context)
        response = messages.SubmitPredictionsResponse()
        for submission in request.submissions:
            if self.fails_within:
                self.fails_within -= 1
                response.results.add(error=status_of(QueueUnavailable("away")))
            else:
                response.results.add(submitted=_submitted(submission))
        return response

    async def WatchPredictions(  # type: ignore[override]  # iterates
        self, request: messages.WatchPredictionsRequest, context: Context
    ) -> AsyncIterator[messages.WatchPredictionsResponse]:
        """Tells one change at each position, and fails after it as the script says."""
        self.positions.append(request.position)
        place = int(request.position or "0")
        yield messages.WatchPredictionsResponse(position=str(place))
        while True:
            place += 1
            record = messages.PredictionRecord(prediction_id=f"p{place}")
            change = messages.PredictionChange(prediction=record)
            yield messages.WatchPredictionsResponse(changes=[change], position=str(place))
            if self.script:
                code = self.script.pop(0)
                if code is grpc.StatusCode.OK:
                    return
                await context.abort(code, "as scripted")

    async def _take(self, submissions: Any, context: Context) -> None:
        self.keys.append([each.idempotency_key for each in submissions])
        if self.script:
            await context.abort(self.script.pop(0), "as scripted")


def _submitted(submission: messages.Submission) -> messages.SubmittedPrediction:
    return messages.SubmittedPrediction(
        prediction_id=submission.request.request_id, state=messages.PREDICTION_STATE_QUEUED
    )


@asynccontextmanager
async def flaky_gateway() -> AsyncIterator[tuple[FlakyGateway, str]]:
    """A running one, and where."""
    gateway = FlakyGateway()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield gateway, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_submission_is_repeated_under_one_key_until_it_is_taken() -> None:
    async with flaky_gateway() as (gateway, target), AsyncClient(target) as client:
        gateway.script = [UNAVAILABLE, UNAVAILABLE]
        submitted = await client.submit("p", {}, request_id="r")
        assert submitted.id == "r"
        ((first,), (second,), (third,)) = gateway.keys
        assert first and first == second == third
        gateway.script = [UNAVAILABLE]
        await client.submit("p", {}, idempotency_key="mine")
        assert gateway.keys[3:] == [["mine"], ["mine"]]


async def test_nothing_is_repeated_without_retries_or_after_another_error() -> None:
    async with flaky_gateway() as (gateway, target), AsyncClient(target) as client:
        gateway.script = [UNAVAILABLE]
        with pytest.raises(Unavailable):
            await client.submit("p", {}, retry=False)
        assert gateway.keys == [[""]]
        gateway.script = [grpc.StatusCode.RESOURCE_EXHAUSTED]
        with pytest.raises(Overloaded):
            await client.submit("p", {})
        assert len(gateway.keys) == 2


async def test_what_is_still_unavailable_at_the_end_is_raised() -> None:
    async with flaky_gateway() as (gateway, target), AsyncClient(target) as client:
        gateway.script = [UNAVAILABLE] * 100
        with pytest.raises(Unavailable):
            await client.submit("p", {}, timeout=0.5)
        assert len(gateway.keys) > 1


async def test_of_many_only_those_that_were_not_taken_are_sent_again() -> None:
    async with flaky_gateway() as (gateway, target), AsyncClient(target) as client:
        gateway.fails_within = 2
        many = [
            Submission(pipeline="p", fields={}, idempotency_key=f"k{n}", request_id=f"r{n}")
            for n in range(5)
        ]
        outcomes = await client.submit_many(many, per_message=3)
        ids = [each.id for each in outcomes if isinstance(each, SubmittedPrediction)]
        assert ids == ["r0", "r1", "r2", "r3", "r4"]
        assert gateway.keys == [["k0", "k1", "k2"], ["k3", "k4"], ["k0", "k1"]]
        gateway.script = [UNAVAILABLE]
        failed = await client.submit_many(many[:2], retry=False)
        assert [type(each) for each in failed] == [Unavailable, Unavailable]


async def test_rows_that_came_too_late_to_be_sent_have_an_outcome_too() -> None:
    async with flaky_gateway() as (gateway, target), AsyncClient(target) as client:
        gateway.script = [UNAVAILABLE] * 100
        many = [Submission(pipeline="p", fields={}) for _ in range(3)]
        outcomes = await client.submit_many(many, per_message=1, timeout=0.3)
        assert [type(each) for each in outcomes] == [Unavailable] * 3


@pytest.mark.parametrize("trouble", [UNAVAILABLE, grpc.StatusCode.OK])
async def test_watch_goes_on_where_it_stopped(trouble: grpc.StatusCode) -> None:
    async with flaky_gateway() as (gateway, target), AsyncClient(target) as client:
        gateway.script = [trouble, trouble]
        async with client.watch_submissions(position="7") as watch:
            told = [(await anext(watch)).prediction.id for _ in range(3)]
            assert told == ["p8", "p9", "p10"]
            # The last one counts as handed on once the next is asked for.
            assert watch.position == "9"
        assert gateway.positions == ["7", "8", "9"]


async def test_watch_gives_up_after_an_outage_and_at_other_errors() -> None:
    async with flaky_gateway() as (gateway, target), AsyncClient(target) as client:
        gateway.script = [grpc.StatusCode.OUT_OF_RANGE]
        async with client.watch_submissions() as watch:
            await anext(watch)
            with pytest.raises(InvalidRequest):
                await anext(watch)
    async with AsyncClient(target) as client:
        with pytest.raises(Unavailable):
            await client.watch_submissions(max_outage=0.3).begin()


async def test_client_without_asyncio_repeats_and_resumes_too() -> None:
    def use(client: Client, gateway: FlakyGateway) -> None:
        gateway.script = [UNAVAILABLE]
        assert client.submit("p", {}, request_id="r").id == "r"
        gateway.fails_within = 1
        (outcome,) = client.submit_many([Submission(pipeline="p", fields={}, request_id="s")])
        assert isinstance(outcome, SubmittedPrediction)
        assert gateway.keys[0] == gateway.keys[1] and gateway.keys[2] == gateway.keys[3]
        gateway.script = [UNAVAILABLE, grpc.StatusCode.OK]
        with client.watch_submissions() as watch:
            assert [change.prediction.id for change in _some(watch, 3)] == ["p1", "p2", "p3"]
        assert gateway.positions == ["", "1", "2"]

    async with flaky_gateway() as (gateway, target):
        with Client(target) as client:
            await asyncio.to_thread(use, client, gateway)


def _some(watch: Iterator[Any], count: int) -> list[Any]:
    return [next(watch) for _ in range(count)]
