"""Streams of both clients against a real server: what is sent when, and what is made of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import TypeVar

import grpc
import pytest
import pytest_asyncio

from tailrace.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Fields,
    InvalidRequest,
    Overloaded,
    Prediction,
    PredictionError,
    Priority,
    ServerFault,
    StreamResult,
    Unavailable,
)
from tailrace.v1.batch_pb2 import PRIORITY_SHEDDABLE
from tests.support.small_gateway import SmallGateway, small_gateway
from tests.support.waiting import wait_for


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[SmallGateway]:
    """A small gateway of this test's own."""
    async with small_gateway() as running:
        yield running


@pytest_asyncio.fixture
async def client(gateway: SmallGateway) -> AsyncIterator[AsyncClient]:
    """A client of it."""
    async with AsyncClient(gateway.target) as connected:
        yield connected


class Rows:
    """Rows without end, or so many; counts those that were taken."""

    def __init__(self, count: int | None = None) -> None:
        self.taken = 0
        self._count = count

    def __iter__(self) -> Iterator[Fields]:
        return self

    def __next__(self) -> Fields:
        if self.taken == self._count:
            raise StopIteration
        self.taken += 1
        return {"n": self.taken - 1}


def number(result: StreamResult) -> object:
    """The number that a row held and its answer holds."""
    assert isinstance(result.outcome, Prediction)
    return result.outcome.values["n"]


async def round_trips(client: AsyncClient) -> None:
    """Time for a stream to do what it may: calls that pass through the same event loops."""
    for _ in range(20):
        await client.predict("echo", {})


def sizes(gateway: SmallGateway) -> list[int]:
    """How many requests each message of a stream held."""
    return [
        len(call.request.requests) for call in gateway.seen if hasattr(call.request, "requests")
    ]


async def broken(stream: AsyncIterator[StreamResult]) -> tuple[list[StreamResult], PredictionError]:
    """What a stream yields before it breaks, and how it breaks."""
    results = []
    with pytest.raises(PredictionError) as caught:
        async for result in stream:
            results.append(result)
    return results, caught.value


# --- results -------------------------------------------------------------------------------


async def test_every_row_has_its_result(client: AsyncClient, gateway: SmallGateway) -> None:
    results = [result async for result in client.predict_stream("echo", Rows(1_000))]

    assert sorted(result.place for result in results) == list(range(1_000))
    for result in results:
        assert isinstance(result.outcome, Prediction)
        assert result.outcome.values == {"n": result.place}
        assert result.outcome.request_id == result.request_id
    assert len({result.request_id for result in results}) == 1_000
    assert sum(sizes(gateway)) == 1_000
    assert len({call.peer for call in gateway.seen}) == 1


async def test_rows_may_be_an_async_iterable(client: AsyncClient) -> None:
    async def rows() -> AsyncIterator[Fields]:
        for fields in Rows(100):
            await asyncio.sleep(0)
            yield fields

    results = [result async for result in client.predict_stream("echo", rows())]

    assert sorted(map(number, results), key=str) == sorted(range(100), key=str)


async def test_results_come_as_they_are_ready_or_in_order(client: AsyncClient) -> None:
    ready = [result.place async for result in client.predict_stream("backwards", Rows(64))]
    ordered = client.predict_stream("backwards", Rows(64), ordered=True)

    assert sorted(ready) == list(range(64))
    assert ready != sorted(ready)
    assert [(result.place, number(result)) async for result in ordered] == [
        (place, place) for place in range(64)
    ]


async def test_row_that_fails_fails_alone(client: AsyncClient) -> None:
    rows: list[Fields] = [{"n": 0}, {"reject": True}, {"when": datetime(2013, 9, 1)}, {"n": 3}]

    stream = client.predict_stream("echo", rows, request_ids=["a", "b", "c", "d"], ordered=True)
    first, rejected, unsent, last = [result async for result in stream]

    assert (number(first), number(last)) == (0, 3)
    assert [first.place, rejected.place, unsent.place, last.place] == [0, 1, 2, 3]
    for result, field in ((rejected, "fields.reject"), (unsent, "fields.when")):
        assert isinstance(result.outcome, InvalidRequest)
        assert (result.outcome.field, result.outcome.request_id) == (field, result.request_id)
    assert (rejected.request_id, unsent.request_id, last.request_id) == ("b", "c", "d")


async def test_error_of_a_row_is_typed_with_its_details(client: AsyncClient) -> None:
    (result,) = [result async for result in client.predict_stream("full", [{}])]

    assert isinstance(result.outcome, Overloaded)
    assert (result.outcome.reason, result.outcome.retry_after_s) == ("MODEL_QUEUE_FULL", 0.25)


async def test_stream_without_a_row_to_send_makes_no_call(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    unsent: list[Fields] = [{"when": datetime(2013, 9, 1)}] * 2_000

    assert [result async for result in client.predict_stream("echo", [])] == []
    results = [result async for result in client.predict_stream("echo", unsent)]

    assert [type(result.outcome) for result in results] == [InvalidRequest] * 2_000
    assert gateway.seen == []


async def test_requests_carry_all_that_the_caller_said(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    stream = client.predict_stream(
        "echo",
        [{}],
        timeout=0.25,
        stream_timeout=30,
        pipeline_version="2",
        request_ids=["request-1"],
        priority=Priority.SHEDDABLE,
        tenant="acme",
    )
    async for _ in stream:
        pass

    (request,) = gateway.seen[0].request.requests
    assert (request.pipeline, request.pipeline_version) == ("echo", "2")
    assert (request.request_id, request.tenant) == ("request-1", "acme")
    assert request.priority == PRIORITY_SHEDDABLE
    assert request.timeout.ToMilliseconds() == 250
    assert 20 < gateway.seen[0].time_remaining_s <= 30.3


async def test_requests_have_the_timeout_of_the_client_and_the_stream_none(
    gateway: SmallGateway,
) -> None:
    async with AsyncClient(gateway.target, timeout=60, metadata=[("who", "me")]) as client:
        async for _ in client.predict_stream("echo", [{}]):
            pass

    (call,) = gateway.seen
    assert call.request.requests[0].timeout.ToMilliseconds() == 60_000
    assert call.time_remaining_s == 0.0
    assert call.metadata["who"] == "me"


async def test_nonsense_is_refused_before_anything_is_taken(client: AsyncClient) -> None:
    rows = Rows()

    with pytest.raises(ValueError, match="rows_per_message is at least 1"):
        client.predict_stream("echo", rows, rows_per_message=0)
    with pytest.raises(ValueError, match="at most max_unanswered"):
        client.predict_stream("echo", rows, max_unanswered=31)
    with pytest.raises(ValueError, match="finite"):
        client.predict_stream("echo", rows, timeout=float("nan"))
    with pytest.raises(DeadlineExceeded, match="nothing was sent"):
        client.predict_stream("echo", rows, stream_timeout=0)

    assert rows.taken == 0


# --- flow ----------------------------------------------------------------------------------


async def test_no_more_requests_are_sent_than_may_be_unanswered(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    rows = Rows()
    stream = client.predict_stream("slow", rows, rows_per_message=4, max_unanswered=10)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.wait_for(gateway.entered.wait(), 30)
    await round_trips(client)

    # As many whole messages as there is room for.
    assert rows.taken == 8

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(gateway.cancelled.wait(), 30)


@pytest.mark.parametrize("ordered", [False, True])
async def test_slow_consumer_stops_the_taking(
    client: AsyncClient, gateway: SmallGateway, ordered: bool
) -> None:
    rows = Rows()
    stream = client.predict_stream(
        "echo", rows, rows_per_message=8, max_unanswered=24, ordered=ordered
    )
    async with contextlib.aclosing(stream):
        for yielded in range(1, 100):
            await anext(stream)
            assert rows.taken <= yielded + 24
            if yielded % 10 == 0:
                await round_trips(client)

    # However slowly they are consumed, messages are full.
    assert set(sizes(gateway)) == {8}


async def test_rows_at_hand_are_sent_before_the_next_one_is_there(client: AsyncClient) -> None:
    answered: asyncio.Queue[None] = asyncio.Queue()

    async def rows() -> AsyncIterator[Fields]:
        for n in range(5):
            yield {"n": n}
            # Each row comes only when the one before it is answered.
            await answered.get()

    places = []
    async for result in client.predict_stream("echo", rows()):
        places.append(result.place)
        answered.put_nowait(None)

    assert places == [0, 1, 2, 3, 4]


async def test_closing_early_cancels_the_stream(client: AsyncClient, gateway: SmallGateway) -> None:
    before = asyncio.all_tasks()
    stream = client.predict_stream("slow", Rows())
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.wait_for(gateway.entered.wait(), 30)
    waiting.cancel()
    await asyncio.wait([waiting])

    await stream.aclose()

    await asyncio.wait_for(gateway.cancelled.wait(), 30)
    handlers = {task for task in asyncio.all_tasks() - before if "_guarded" in repr(task)}
    assert handlers == set()


async def test_leaving_the_loop_cancels_the_stream(
    client: AsyncClient, gateway: SmallGateway
) -> None:
    rows = Rows()
    async for _ in client.predict_stream("echo", rows, max_unanswered=64):
        break
    await round_trips(client)
    taken = rows.taken
    await round_trips(client)

    assert rows.taken == taken <= 65


# --- trouble -------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [False, True])
async def test_broken_stream_names_what_failed_and_what_has_no_answer(
    client: AsyncClient, ordered: bool
) -> None:
    rows = Rows()
    results, error = await broken(
        client.predict_stream(
            "drains", rows, request_ids=(f"request-{n}" for n in itertools.count()), ordered=ordered
        )
    )

    # The last of the first message: that those before it have no answer does not hold it back.
    assert [result.place for result in results] == [31]
    assert isinstance(error, Unavailable)
    assert (error.reason, error.code) == ("DRAINING", grpc.StatusCode.UNAVAILABLE)
    assert error.unanswered == {n: f"request-{n}" for n in range(rows.taken) if n != 31}
    assert f"draining; rows of the stream without an answer: {rows.taken - 1} (0, 1, 2" in str(
        error
    )


async def test_stream_that_ends_too_early_is_a_fault_of_the_server(client: AsyncClient) -> None:
    results, error = await broken(client.predict_stream("ends", Rows(32)))

    assert len(results) == 31
    assert isinstance(error, ServerFault)
    assert list(error.unanswered) == [0]


async def test_result_for_nobody_is_a_fault_of_the_server(client: AsyncClient) -> None:
    results, error = await broken(client.predict_stream("twice", Rows(10)))

    assert len(results) == 10
    assert isinstance(error, ServerFault)
    assert "request 0" in error.message
    assert error.unanswered == {}


async def test_nobody_there_is_unavailable_with_all_that_was_taken() -> None:
    rows = Rows(40)
    # Port 1 is nobody's.
    async with AsyncClient("127.0.0.1:1") as client:
        results, error = await broken(client.predict_stream("echo", rows))

    assert results == []
    assert isinstance(error, Unavailable)
    assert list(error.unanswered) == list(range(40))


async def test_gateway_that_goes_away_breaks_the_stream() -> None:
    async with small_gateway() as gateway, AsyncClient(gateway.target) as client:
        ends = asyncio.create_task(broken(client.predict_stream("slow", Rows(3))))
        await asyncio.wait_for(gateway.entered.wait(), 30)
        await gateway.stop()

        _, error = await asyncio.wait_for(ends, 30)

    assert isinstance(error, Unavailable)
    assert list(error.unanswered) == [0, 1, 2]


async def test_deadline_of_the_stream_breaks_it(client: AsyncClient) -> None:
    results, error = await broken(client.predict_stream("slow", Rows(3), stream_timeout=0.2))

    assert results == []
    assert isinstance(error, DeadlineExceeded)
    assert list(error.unanswered) == [0, 1, 2]


async def test_closing_the_client_breaks_the_stream(gateway: SmallGateway) -> None:
    client = AsyncClient(gateway.target)
    ends = asyncio.create_task(broken(client.predict_stream("slow", Rows(3))))
    await asyncio.wait_for(gateway.entered.wait(), 30)

    await client.close()

    _, error = await asyncio.wait_for(ends, 30)
    assert error.code is grpc.StatusCode.CANCELLED
    assert list(error.unanswered) == [0, 1, 2]


async def test_closed_client_opens_no_stream(client: AsyncClient) -> None:
    await client.close()

    with pytest.raises(RuntimeError, match="closed"):
        async for _ in client.predict_stream("echo", Rows(1)):
            pass


async def test_what_the_rows_raise_is_raised_after_what_was_taken(client: AsyncClient) -> None:
    def rows() -> Iterator[Fields]:
        yield from Rows(40)
        raise OSError("the disk is gone")

    places = []
    with pytest.raises(OSError, match="the disk is gone"):
        async for result in client.predict_stream("echo", rows()):
            places.append(result.place)

    assert sorted(places) == list(range(40))


async def test_too_few_request_ids_are_refused_after_what_was_taken(client: AsyncClient) -> None:
    places = []
    with pytest.raises(ValueError, match="2 request ids"):
        async for result in client.predict_stream("echo", Rows(3), request_ids=["a", "b"]):
            places.append(result.place)

    assert places == [0, 1]


# --- the sync client -----------------------------------------------------------------------


T = TypeVar("T")


async def with_client(gateway: SmallGateway, use: Callable[[Client], T]) -> T:
    """Runs what uses a sync client in a thread, beside the gateway's event loop."""

    def run() -> T:
        with Client(gateway.target) as client:
            return use(client)

    return await asyncio.wait_for(asyncio.to_thread(run), 30)


def no_stream_threads() -> bool:
    """Whether all threads of streams have ended."""
    return not any(thread.name.startswith("stream-") for thread in threading.enumerate())


async def test_sync_stream_gives_every_row_its_result(gateway: SmallGateway) -> None:
    rows = Rows(1_000)

    def use(client: Client) -> list[StreamResult]:
        return list(client.predict_stream("backwards", rows, ordered=True))

    results = await with_client(gateway, use)

    assert [(result.place, number(result)) for result in results] == [
        (place, place) for place in range(1_000)
    ]
    assert sum(sizes(gateway)) == 1_000
    wait_for(no_stream_threads)


async def test_sync_row_that_fails_fails_alone(gateway: SmallGateway) -> None:
    unsent: Fields = {"when": datetime(2013, 9, 1)}
    rows: list[Fields] = [unsent] * 2_000 + [{"reject": True}, {"n": 3}]

    results = await with_client(gateway, lambda client: list(client.predict_stream("echo", rows)))

    kinds = {result.place: type(result.outcome) for result in results}
    assert list(kinds.values()).count(InvalidRequest) == 2_001
    assert (kinds[2_000], kinds[2_001]) == (InvalidRequest, Prediction)


async def test_sync_stream_without_a_row_to_send_makes_no_call(gateway: SmallGateway) -> None:
    assert await with_client(gateway, lambda client: list(client.predict_stream("echo", []))) == []
    assert gateway.seen == []


async def test_sync_rows_at_hand_are_sent_before_the_next_one_is_there(
    gateway: SmallGateway,
) -> None:
    answered: queue.SimpleQueue[None] = queue.SimpleQueue()

    def rows() -> Iterator[Fields]:
        for n in range(5):
            yield {"n": n}
            answered.get()

    def use(client: Client) -> list[int]:
        places = []
        for result in client.predict_stream("echo", rows()):
            places.append(result.place)
            answered.put(None)
        return places

    assert await with_client(gateway, use) == [0, 1, 2, 3, 4]


async def test_slow_sync_consumer_stops_the_taking(gateway: SmallGateway) -> None:
    rows = Rows()

    def use(client: Client) -> None:
        stream = client.predict_stream("echo", rows, rows_per_message=8, max_unanswered=24)
        with contextlib.closing(stream):
            for yielded in range(1, 100):
                next(stream)
                assert rows.taken <= yielded + 24
                if yielded % 10 == 0:
                    for _ in range(20):
                        client.predict("echo", {})

    await with_client(gateway, use)
    wait_for(no_stream_threads)


async def test_closing_a_sync_stream_cancels_it(gateway: SmallGateway) -> None:
    def use(client: Client) -> int:
        rows: list[Fields] = [{"when": datetime(2013, 9, 1)}, {"n": 1}]
        stream = client.predict_stream("slow", rows)
        next(stream)  # The row that cannot be sent.

        def close_once_entered() -> None:
            entered.wait()
            client.close()

        blocked = client.predict_stream("slow", Rows(3))
        threading.Thread(target=close_once_entered).start()
        with pytest.raises(PredictionError) as caught:
            next(blocked)
        stream.close()
        assert caught.value.code is grpc.StatusCode.CANCELLED
        return len(caught.value.unanswered)

    entered = threading.Event()
    waiting = asyncio.create_task(gateway.entered.wait())
    waiting.add_done_callback(lambda _: entered.set())

    assert await with_client(gateway, use) == 3
    await asyncio.wait_for(gateway.cancelled.wait(), 30)
    wait_for(no_stream_threads)


async def test_leaving_the_loop_ends_a_sync_stream(gateway: SmallGateway) -> None:
    rows = Rows()

    def use(client: Client) -> None:
        for _ in client.predict_stream("echo", rows, max_unanswered=64):
            break
        wait_for(no_stream_threads)

    await with_client(gateway, use)

    assert rows.taken <= 65


async def test_sync_stream_may_be_closed_by_another_thread(gateway: SmallGateway) -> None:
    def use(client: Client) -> None:
        stream = client.predict_stream("echo", Rows())
        next(stream)
        closer = threading.Thread(target=stream.close)
        closer.start()
        closer.join()
        assert list(stream) == []
        wait_for(no_stream_threads)

    await with_client(gateway, use)


async def test_broken_sync_stream_names_what_has_no_answer(gateway: SmallGateway) -> None:
    def use(client: Client) -> tuple[list[int], PredictionError]:
        places = []
        with pytest.raises(Unavailable) as caught:
            for result in client.predict_stream("drains", Rows(500), max_unanswered=64):
                places.append(result.place)
        return places, caught.value

    places, error = await with_client(gateway, use)

    assert len(places) == 1
    assert error.reason == "DRAINING"
    assert sorted([*error.unanswered, *places]) == list(range(len(error.unanswered) + 1))


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
async def test_what_the_rows_raise_reaches_the_sync_caller(
    gateway: SmallGateway, kind: type[BaseException]
) -> None:
    def rows() -> Iterator[Fields]:
        yield from Rows(40)
        raise kind("no more")

    def use(client: Client) -> list[int]:
        places = []
        with pytest.raises(kind, match="no more"):
            for result in client.predict_stream("echo", rows()):
                places.append(result.place)
        return places

    assert sorted(await with_client(gateway, use)) == list(range(40))
