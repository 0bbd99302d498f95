"""What is found once everything has settled: by asking, and in the queue's output stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio
import redis.asyncio

from tailrace.v1 import callback_service_pb2, prediction_service_pb2
from tests.support.submission_world.caller import CALL_TIMEOUT_S, PAUSE_S, Caller
from tests.support.submission_world.history import FINAL_STATES, History, Submission

QUIET_S = 45.0
# After so long without a new entry, the output stream has all that it will have.
_PUBLISHED_S = 10.0
_AT_ONCE = 32
_PAGE = 1000
_STREAM = "tailrace:predictions"
_MAY_PASS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclass(frozen=True, kw_only=True)
class Published:
    """One entry of the output stream."""

    prediction_id: str
    request_id: str
    state: int
    outcome: bytes


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was found in the end.

    Attributes:
        dead_letters: reason of each dead letter, by id.
        listed: request id of each prediction that there is, by its id.
        published: the output stream.
    """

    dead_letters: dict[str, str]
    listed: dict[str, str]
    published: Sequence[Published]


async def settle(caller: Caller, history: History) -> None:
    """Polls all that was acknowledged until nothing is to happen any more.

    Raises:
        AssertionError: nothing has changed for `QUIET_S`, and something is not settled.
    """
    left = set(history.by_id)
    last_change = time.monotonic()
    while left:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def look(prediction_id: str, gate: asyncio.Semaphore = gate) -> bool:
            async with gate:
                poll = await caller.poll(prediction_id)
            # What is gone stays so, and is for the checker to judge.
            return poll is not None and (poll.is_settled or not poll.found)

        before = len(left), history.progress
        order = sorted(left)
        settled = await asyncio.gather(*(look(one) for one in order))
        left -= {one for one, done in zip(order, settled, strict=True) if done}
        if (len(left), history.progress) != before:
            last_change = time.monotonic()
        quiet_s = time.monotonic() - last_change
        assert quiet_s < QUIET_S, f"{len(left)} predictions do not settle, such as {_some(left)}"
        if left:
            await asyncio.sleep(PAUSE_S)


async def gather(predictions: Any, callbacks: Any, redis_url: str, history: History) -> Evidence:
    """Returns what there is, once all that is final has been published.

    Args:
        predictions: stub of `PredictionService`.
        callbacks: stub of `CallbackService`.
        redis_url: of the queue.
        history: settled.
    """
    dead = {
        letter.prediction.prediction_id: letter.reason async for letter in _dead_letters(callbacks)
    }
    listed = {
        record.prediction_id: record.request_id
        for state in prediction_service_pb2.PredictionState.values()[1:]
        async for record in _listed(predictions, state)
    }
    wanted = {one.prediction_id for one in history.acknowledged if _is_final(one)}
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        published = await _published(client)
        last_change = time.monotonic()
        # What is missing then is for the checker to tell.
        while not wanted <= {one.prediction_id for one in published}:
            if time.monotonic() - last_change > _PUBLISHED_S:
                break
            await asyncio.sleep(PAUSE_S)
            before, published = len(published), await _published(client)
            if len(published) > before:
                last_change = time.monotonic()
    return Evidence(dead_letters=dead, listed=listed, published=published)


def _is_final(submission: Submission) -> bool:
    poll = submission.last_poll
    return poll is not None and poll.found and poll.state in FINAL_STATES


def _some(ids: set[str]) -> str:
    return ", ".join(sorted(ids)[:3])


async def _dead_letters(stub: Any) -> AsyncIterator[callback_service_pb2.DeadLetter]:
    token = ""
    while True:
        request = callback_service_pb2.ListDeadLettersRequest(page_size=_PAGE, page_token=token)
        page = await _answered(stub.ListDeadLetters, request)
        for letter in page.dead_letters:
            yield letter
        token = page.next_page_token
        if not token:
            return


async def _listed(stub: Any, state: int) -> AsyncIterator[prediction_service_pb2.PredictionRecord]:
    token = ""
    while True:
        request = prediction_service_pb2.ListPredictionsRequest(
            state=state,  # type: ignore[arg-type]  # a plain number is accepted
            page_size=_PAGE,
            page_token=token,
        )
        page = await _answered(stub.ListPredictions, request)
        for record in page.predictions:
            yield record
        token = page.next_page_token
        if not token:
            return


async def _answered(call: Callable[..., Awaitable[Any]], request: Any) -> Any:
    give_up_at = time.monotonic() + QUIET_S
    while True:
        try:
            return await call(request, timeout=CALL_TIMEOUT_S, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _MAY_PASS or time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(PAUSE_S)


async def _published(client: redis.asyncio.Redis) -> list[Published]:
    found: list[Published] = []
    after = "-"
    while True:
        entries: Any = await client.xrange(_STREAM, min=after, max="+", count=_PAGE)
        if not entries:
            return found
        found += [
            Published(
                prediction_id=fields[b"prediction_id"].decode(),
                request_id=fields[b"request_id"].decode(),
                state=int(fields[b"state"]),
                outcome=fields[b"outcome"],
            )
            for _, fields in entries
        ]
        after = f"({entries[-1][0].decode()}"
