"""Submitted predictions without a transport: fetched, waited for, cancelled, listed."""

from __future__ import annotations

import asyncio

from tailrace.gateway.change_tail import ChangeTails
from tailrace.gateway.group_read import GroupRead
from tailrace.runtime.deadline import NS_PER_S
from tailrace.runtime.errors import InvalidField, NotFound, Reason
from tailrace.submissions.ids import partition_of_id
from tailrace.submissions.records import State, StoredPrediction
from tailrace.submissions.store import SubmissionStore
from tailrace.v1.prediction_service_pb2 import GetPredictionRequest, ListPredictionsRequest

DEFAULT_PAGE = 100
MAX_PAGE = 1000
# What a long poll leaves of its call's deadline for the answer to travel.
ANSWER_SHARE = 0.05
MIN_ANSWER_S = 0.02


class SubmittedPredictions:
    """Answers questions about submitted predictions."""

    def __init__(self, store: SubmissionStore, tails: ChangeTails, longest_wait_s: float) -> None:
        """Keeps the parts.

        Args:
            store: the queue.
            tails: the changes of each partition.
            longest_wait_s: of a long poll.
        """
        self._store = store
        self._reads = GroupRead(store)
        self._tails = tails
        self._longest_wait_s = longest_wait_s

    async def get(
        self, request: GetPredictionRequest, call_remaining_s: float | None
    ) -> StoredPrediction:
        """Returns a prediction, once it is final where the request waits for that, but in time.

        Args:
            request: as received.
            call_remaining_s: seconds until the call's deadline, or None if it has none.

        Raises:
            NotFound: there is none, or it is another tenant's.
            InvalidField: the wait is negative.
        """
        wait_s = self._wait_s(request, call_remaining_s)
        prediction_id, tenant = request.prediction_id, request.tenant
        partition = partition_of_id(prediction_id)
        if partition is None or partition >= len(self._tails):
            raise _not_found()
        if wait_s <= 0:
            return await self._find(prediction_id, tenant)
        async with self._tails[partition].awaited(prediction_id) as changed:
            stored = await self._find(prediction_id, tenant)
            if stored.state.is_final:
                return stored
            try:
                async with asyncio.timeout(wait_s):
                    await changed.wait()
            except TimeoutError:
                # It is answered as it is, which is what was asked for.
                pass
            return await self._find(prediction_id, tenant)

    async def cancel(self, prediction_id: str, tenant: str) -> StoredPrediction:
        """Cancels a prediction. Raises NotFound, FailedPrecondition."""
        return await self._store.cancel(prediction_id, tenant)

    async def list_state(
        self, request: ListPredictionsRequest
    ) -> tuple[list[StoredPrediction], str]:
        """Returns a page of predictions in one state, and the token of the next one.

        Raises:
            InvalidField: state, page size or page token cannot be used.
        """
        try:
            state = State(request.state)
        except ValueError as error:
            raise InvalidField("a state is needed", field="state") from error
        return await self._store.list_state(
            state,
            tenant=request.tenant,
            pipeline=request.pipeline,
            page_size=checked_page_size(request.page_size),
            page_token=request.page_token,
        )

    def _wait_s(self, request: GetPredictionRequest, call_remaining_s: float | None) -> float:
        wait_s = request.wait.seconds + request.wait.nanos / NS_PER_S
        if wait_s < 0:
            raise InvalidField("it may not be negative", field="wait")
        wait_s = min(wait_s, self._longest_wait_s)
        if call_remaining_s is not None:
            spared_s = max(call_remaining_s * ANSWER_SHARE, MIN_ANSWER_S)
            wait_s = min(wait_s, call_remaining_s - spared_s)
        return wait_s

    async def _find(self, prediction_id: str, tenant: str) -> StoredPrediction:
        stored = await self._reads.get(prediction_id)
        if stored is None or tenant not in ("", stored.tenant):
            raise _not_found()
        return stored


def checked_page_size(page_size: int) -> int:
    """Returns the size of a page, given one or 0. Raises InvalidField."""
    if not 0 <= page_size <= MAX_PAGE:
        raise InvalidField(f"it has to be from 0 to {MAX_PAGE}", field="page_size")
    return page_size or DEFAULT_PAGE


def _not_found() -> NotFound:
    return NotFound(
        "there is no such prediction, or it is kept no longer",
        field="prediction_id",
        reason=Reason.PREDICTION_NOT_FOUND,
    )
