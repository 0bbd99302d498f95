"""A client that submits, submits again where it does not know, cancels, and asks."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
from google.rpc import code_pb2, status_pb2

from tailrace.v1 import prediction_service_pb2 as messages
from tests.support.requests import error_info
from tests.support.submission_world.history import Answer, History, Poll, Submission
from tests.support.submission_world.submission_plan import SubmissionPlan

# Codes that say that nothing was submitted. All others leave it open.
REFUSALS = frozenset(
    {
        code_pb2.INVALID_ARGUMENT,
        code_pb2.NOT_FOUND,
        code_pb2.ALREADY_EXISTS,
        code_pb2.PERMISSION_DENIED,
        code_pb2.RESOURCE_EXHAUSTED,
        code_pb2.FAILED_PRECONDITION,
        code_pb2.OUT_OF_RANGE,
    }
)
CALL_TIMEOUT_S = 4.0
PAUSE_S = 0.1


class Caller:
    """One client."""

    def __init__(
        self, stub: Any, history: History, plan: SubmissionPlan, rng: random.Random, most: int
    ) -> None:
        """Keeps the parts.

        Args:
            stub: of the gateway's `PredictionService`.
            history: where everything is noted.
            plan: what to submit.
            rng: what else is at random.
            most: predictions that may be under way when more are submitted.
        """
        self._stub = stub
        self._history = history
        self._plan = plan
        self._rng = rng
        self._most = most

    async def run(self, enough: asyncio.Event) -> None:
        """Submits until there is enough, and until every outcome that can be known is."""
        while not enough.is_set():
            await self._history.wait_until(
                lambda: self._history.undelivered < self._most, 120, "the backlog grows smaller"
            )
            drawn = self._plan.draw_many()
            self._history.submissions += drawn
            await self.submit(drawn)
            await self._bother(self._rng.choice(drawn))

    async def submit(self, submissions: Sequence[Submission]) -> None:
        """Submits until each is acknowledged or refused, or cannot be sent again."""
        left = list(submissions)
        while left:
            await self._attempt(left)
            left = [
                one
                for one in left
                if one.answers[-1].kind == "unknown" and one.message.idempotency_key
            ]
            if left:
                await asyncio.sleep(PAUSE_S)

    async def _attempt(self, submissions: Sequence[Submission]) -> None:
        self._history.open_calls += 1
        try:
            answers = await self._answers(submissions)
        finally:
            self._history.open_calls -= 1
        for submission, answer in zip(submissions, answers, strict=True):
            await self._history.answered(submission, answer)

    async def _answers(self, submissions: Sequence[Submission]) -> list[Answer]:
        sent = [submission.message for submission in submissions]
        sent_at = time.monotonic()
        try:
            if len(sent) == 1:
                response = await self._stub.SubmitPrediction(
                    messages.SubmitPredictionRequest(submission=sent[0]),
                    timeout=CALL_TIMEOUT_S,
                    wait_for_ready=True,
                )
                return [_acknowledgement(response.submitted, sent_at)]
            response = await self._stub.SubmitPredictions(
                messages.SubmitPredictionsRequest(submissions=sent),
                timeout=CALL_TIMEOUT_S,
                wait_for_ready=True,
            )
        except grpc.aio.AioRpcError as error:
            return [_failure(error.code().value[0], error, sent_at)] * len(sent)
        return [
            _acknowledgement(result.submitted, sent_at)
            if result.WhichOneof("outcome") == "submitted"
            else _failure(result.error.code, result.error, sent_at)
            for result in response.results
        ]

    async def _bother(self, submission: Submission) -> None:
        """Does one more thing with a submission, mostly nothing."""
        if submission.acknowledged is None:
            return
        drawn = self._rng.random()
        if drawn < 0.1:
            await self.cancel(submission)
        elif drawn < 0.2 and submission.message.idempotency_key:
            await self.submit([submission])
        elif drawn < 0.3 and submission.message.idempotency_key:
            probe = self._plan.conflicting(submission)
            self._history.submissions.append(probe)
            await self.submit([probe])
        elif drawn < 0.6:
            await self.poll(submission.prediction_id, wait_s=self._rng.choice((0.0, 0.3)))

    async def cancel(self, submission: Submission) -> None:
        """Cancels a submission until it is known whether that came in time."""
        request = messages.CancelPredictionRequest(prediction_id=submission.prediction_id)
        while True:
            try:
                await self._stub.CancelPrediction(
                    request, timeout=CALL_TIMEOUT_S, wait_for_ready=True
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                    submission.cancelled = False
                    return
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    await self._history.polled(submission.prediction_id, Poll(found=False))
                    return
                if error.code().value[0] in REFUSALS:
                    raise
                await asyncio.sleep(PAUSE_S)
            else:
                submission.cancelled = True
                return

    async def poll(self, prediction_id: str, wait_s: float = 0.0) -> Poll | None:
        """Asks after a prediction; returns None where there was no answer."""
        request = messages.GetPredictionRequest(prediction_id=prediction_id)
        if wait_s:
            request.wait.FromMilliseconds(int(wait_s * 1000))
        try:
            response = await self._stub.GetPrediction(
                request, timeout=CALL_TIMEOUT_S, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                return None
            poll = Poll(found=False)
        else:
            poll = _poll(response.prediction)
        await self._history.polled(prediction_id, poll)
        return poll


def _poll(record: messages.PredictionRecord) -> Poll:
    delivery = messages.DeliveryStatus()
    delivery.CopyFrom(record.delivery)
    record.ClearField("delivery")
    is_final = record.HasField("end_time")
    return Poll(
        found=True,
        state=record.state,
        record=record.SerializeToString(deterministic=True) if is_final else b"",
        delivery_state=delivery.state,
        dead_reason=delivery.dead_reason,
    )


def _acknowledgement(submitted: messages.SubmittedPrediction, sent_at: float) -> Answer:
    at = time.monotonic()
    return Answer(
        at=at,
        took_s=at - sent_at,
        kind="acknowledged",
        prediction_id=submitted.prediction_id,
        already=submitted.already_submitted,
    )


def _failure(code: int, error: grpc.RpcError | status_pb2.Status, sent_at: float) -> Answer:
    at = time.monotonic()
    if code in REFUSALS:
        reason = error_info(error).reason
        return Answer(at=at, took_s=at - sent_at, kind="refused", reason=reason)
    return Answer(at=at, took_s=at - sent_at, kind="unknown", reason=code_pb2.Code.Name(code))
