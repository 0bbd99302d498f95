"""Submitting predictions, and asking for submitted ones, without asyncio."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any

from tailrace.client.callback_admin import CallbackAdmin
from tailrace.client.callback_operations import Operation, Result
from tailrace.client.errors import PredictionError
from tailrace.client.request import Priority, checked_timeout
from tailrace.client.retrying import Retrying
from tailrace.client.submission import (
    InlineCallback,
    StoredPrediction,
    Submission,
    SubmissionState,
    SubmittedPrediction,
)
from tailrace.client.submission_request import (
    get_message,
    list_message,
    submission_message,
    watch_message,
)
from tailrace.client.submit_book import SubmitBook
from tailrace.client.submit_doubt import submitting
from tailrace.client.sync_connection import SyncConnection
from tailrace.client.sync_watch import SubmissionWatch
from tailrace.client.trace_headers import in_trace_of_now
from tailrace.client.values import Fields
from tailrace.client.watch_book import WatchBook
from tailrace.v1 import prediction_service_pb2 as messages

_PAGE_SIZE = 1000


class SyncSubmissions(SyncConnection):
    """The part of `Client` that is about submissions."""

    @property
    def callbacks(self) -> CallbackAdmin:
        """Administration of callbacks, over the same connections."""
        return CallbackAdmin(self._run_operation)

    def submit(
        self,
        pipeline: str,
        fields: Fields,
        *,
        callback: str | InlineCallback | None = None,
        idempotency_key: str | None = None,
        not_after: datetime | None = None,
        ordering_key: str = "",
        priority: Priority = Priority.NORMAL,
        tenant: str = "",
        pipeline_version: str = "",
        request_id: str = "",
        timeout: float | None = None,
        retry: bool = True,
    ) -> SubmittedPrediction:
        """Submits one prediction, and returns once it is durable.

        While the gateway is UNAVAILABLE it is asked again, until the time is over. That is safe by
        the idempotency key: the client makes one if there is none. With `retry=False` the call
        is made once, and without a key if there is none.

        Args:
            pipeline: name of the pipeline.
            fields: the request by field name; see `tailrace.client.values.to_value`.
            callback: where to push the result: name of a registered callback of the same tenant,
                or an inline one; None means nowhere.
            idempotency_key: submissions of one tenant with the same key are one.
            not_after: when the result becomes worthless, with its offset.
            ordering_key: results with the same key are pushed to an ordered callback in the order
                of their submission.
            priority: how important it is among submissions.
            tenant: whom it is made for.
            pipeline_version: version to use; empty means the current one.
            request_id: id for logs and traces; empty means a fresh one.
            timeout: time for all attempts in seconds; None means the client's.
            retry: whether to ask again.

        Raises:
            PredictionError: it was not accepted, or nobody knows, where it has an
                `idempotency_key` to repeat it under: `AlreadyExists` for a key that was used for
                another submission, `Overloaded` if the queue is full.
        """
        submission = Submission(
            pipeline=pipeline,
            fields=fields,
            callback=callback,
            idempotency_key=idempotency_key,
            not_after=not_after,
            ordering_key=ordering_key,
            priority=priority,
            tenant=tenant,
            pipeline_version=pipeline_version,
            request_id=request_id,
        )
        message = submission_message(submission, needs_key=retry)
        request = messages.SubmitPredictionRequest(submission=message)
        retrying = Retrying(self._timeout_s(timeout))
        with submitting(message.idempotency_key):
            while True:
                try:
                    response = self._call(
                        self._stub().SubmitPrediction,
                        request,
                        retrying.remaining_s(),
                        message.request.request_id,
                    )
                    return SubmittedPrediction.of_message(response.submitted)
                except PredictionError as error:
                    if not retry:
                        raise
                    time.sleep(retrying.pause_s(error))

    def submit_many(
        self,
        submissions: Iterable[Submission],
        *,
        timeout: float | None = None,
        retry: bool = True,
        per_message: int = 256,
    ) -> list[SubmittedPrediction | PredictionError]:
        """Submits many predictions, and returns one result each, in order.

        What is UNAVAILABLE is sent again as in `submit`, each with a key of its own. Without
        retries and keys, the submissions of a message are written in one step, which is cheaper.

        Args:
            submissions: what to submit; all of them are taken before the first is sent.
            timeout: time for all of it in seconds; None means the client's.
            retry: whether to send again, and to make idempotency keys.
            per_message: most submissions of one message, which has to stay within the largest
                size of one.

        Raises:
            ValueError: `per_message` below 1.
        """
        retrying = Retrying(self._timeout_s(timeout))
        book = SubmitBook(submissions, retry=retry, per_message=per_message, retrying=retrying)
        while True:
            while (message := book.next_message()) is not None:
                deadline_s = book.deadline_s()
                if deadline_s is None:
                    continue
                try:
                    book.answered(self._call(self._stub().SubmitPredictions, message, deadline_s))
                except PredictionError as error:
                    book.failed(error)
            pause_s = book.pause_s()
            if pause_s is None:
                return book.outcomes()
            time.sleep(pause_s)

    def get_submission(
        self,
        prediction_id: str,
        *,
        wait: float | None = None,
        tenant: str = "",
        timeout: float | None = None,
    ) -> StoredPrediction:
        """Returns a submitted prediction, with its result once it has one.

        Args:
            prediction_id: its id.
            wait: how long to wait for its result where it has none, in seconds. It is returned as
                it is when the time is over.
            tenant: whom it was made for; a prediction of another tenant is not found.
            timeout: time for all attempts beside `wait`, in seconds; None means the client's.
                UNAVAILABLE is asked again.

        Raises:
            PredictionError: the call failed; `NotFound` if there is none, or no longer.
        """
        wait_s = 0.0 if wait is None else wait
        retrying = Retrying(self._timeout_s(timeout) + wait_s)
        wait_ends_at = time.monotonic() + wait_s
        while True:
            still_s = None if wait is None else max(0.0, wait_ends_at - time.monotonic())
            request = get_message(prediction_id, still_s, tenant)
            try:
                stub = self._stub()
                response = self._call(stub.GetPrediction, request, retrying.remaining_s())
                return StoredPrediction.of_message(response.prediction)
            except PredictionError as error:
                time.sleep(retrying.pause_s(error))

    def watch_submissions(
        self,
        ids: Collection[str] = (),
        *,
        tenant: str = "",
        pipeline: str = "",
        states: Iterable[SubmissionState] = (),
        deliveries: bool = False,
        outcomes: bool = True,
        position: str = "",
        timeout: float | None = None,
        max_outage: float = 60.0,
    ) -> SubmissionWatch:
        """Tells changes of submitted predictions as they happen; an iterator without end.

        It begins when it is first asked for a change, or entered with `with`, and resumes by itself
        after UNAVAILABLE: no change is left out, some may come twice.

        Args:
            ids: only these, at most 1,000; what has already happened to them is told first.
            tenant: only those of this tenant; empty means all.
            pipeline: only those of this pipeline; empty means all.
            states: only changes to these states; none means all final ones.
            deliveries: also changes of the push's state.
            outcomes: whether to tell results, too.
            position: where to resume: `position` of an earlier watch. Empty means from now on.
            timeout: how long to watch in seconds, and then end; None means without end.
            max_outage: how long the gateway may be unavailable before the error is raised, in
                seconds.

        Raises:
            ValueError: a timeout that is no finite number.
            PredictionError: while iterating; `InvalidRequest` with reason POSITION_TOO_OLD if
                changes since the position are no longer kept.
        """
        message = watch_message(
            ids,
            tenant=tenant,
            pipeline=pipeline,
            states=states,
            deliveries=deliveries,
            outcomes=outcomes,
            position=position,
        )
        ends_in = None if timeout is None else checked_timeout(timeout)

        def open_call(request: messages.WatchPredictionsRequest, timeout_s: float | None) -> Any:
            return self._stub().WatchPredictions(
                request, timeout=timeout_s, metadata=self._headers()
            )

        return SubmissionWatch(WatchBook(message, max_outage), in_trace_of_now(open_call), ends_in)

    def cancel_submission(
        self, prediction_id: str, *, tenant: str = "", timeout: float | None = None
    ) -> StoredPrediction:
        """Cancels a submitted prediction that has no result yet; a callback is told of it.

        Raises:
            PredictionError: the call failed; `FailedPrecondition` if it has its result, `NotFound`
                if there is none, or it is another tenant's.
        """
        request = messages.CancelPredictionRequest(prediction_id=prediction_id, tenant=tenant)
        response = self._call(self._stub().CancelPrediction, request, timeout)
        return StoredPrediction.of_message(response.prediction)

    def list_submissions(
        self,
        state: SubmissionState,
        *,
        tenant: str = "",
        pipeline: str = "",
        timeout: float | None = None,
    ) -> Iterator[StoredPrediction]:
        """Yields submitted predictions in a state, without outcomes.

        Args:
            state: which.
            tenant: only those of this tenant; empty means all.
            pipeline: only those of this pipeline; empty means all.
            timeout: deadline of each page in seconds; None means the client's.

        Raises:
            PredictionError: a call failed.
        """
        token = ""
        while True:
            request = list_message(
                state, tenant=tenant, pipeline=pipeline, page_size=_PAGE_SIZE, page_token=token
            )
            response = self._call(self._stub().ListPredictions, request, timeout)
            yield from map(StoredPrediction.of_message, response.predictions)
            token = response.next_page_token
            if not token:
                return

    def _run_operation(self, operation: Operation[Result], timeout: float | None) -> Result:
        method = getattr(self._callback_stub(), operation.method)
        return operation.result(self._call(method, operation.request, timeout))

    def _timeout_s(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else checked_timeout(timeout)
