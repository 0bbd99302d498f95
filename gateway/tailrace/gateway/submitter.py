"""Submissions without a transport: checked, and acknowledged once they are durable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tailrace.gateway.callback_book import CallbackBook
from tailrace.gateway.callback_choice import CallbackRules, callback_keys
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.group_commit import MAX_ROWS, GroupCommit, Outcomes
from tailrace.gateway.submission_account import OTHER_PIPELINE, SubmissionAccount
from tailrace.gateway.submission_admission import check_submission, new_submission
from tailrace.gateway.submission_spans import SubmissionSpans
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.errors import Cancelled, DeadlineExceeded, NotFound, TailraceError
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.submissions.callback_record import CallbackRecord, CallbackStore
from tailrace.submissions.ids import new_prediction_id
from tailrace.submissions.partitions import partition_of
from tailrace.submissions.push.target_rules import TargetRules
from tailrace.submissions.records import CallbackChoice, NewSubmission, Submitted
from tailrace.submissions.store import SubmissionStore
from tailrace.v1.prediction_service_pb2 import Submission

# Of a caller who names no deadline.
LONGEST_WAIT_S = 30.0

Outcome = Submitted | TailraceError


@dataclass(slots=True)
class _Call:
    """The submissions of one call, on their way.

    Attributes:
        outcomes: one each, None as long as it is not known.
        request_ids: as sent, or as made here.
        pipelines: name of each one's pipeline, or `_OTHER`.
        traces: the place of each one's span.
    """

    submissions: Sequence[Submission]
    traces: Sequence[TraceContext]
    received_ns: int
    outcomes: list[Outcome | None] = field(init=False)
    request_ids: list[str] = field(init=False)
    pipelines: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.outcomes = [None] * len(self.submissions)
        self.request_ids = [submission.request.request_id for submission in self.submissions]
        self.pipelines = [OTHER_PIPELINE] * len(self.submissions)


# The callbacks that are named, by key, or why they are not known.
_Known = Mapping[str, CallbackRecord] | TailraceError


class _Chosen(NamedTuple):
    """A submission that is in order, by its place in the call."""

    place: int
    callback: CallbackChoice | None


@dataclass(slots=True)
class _Written:
    """Submissions handed over to be written, by their places in the call."""

    places: Sequence[int]
    outcomes: asyncio.Future[Outcomes]


class Submitter:
    """Takes submissions, each with one outcome."""

    def __init__(
        self,
        store: SubmissionStore,
        callbacks: CallbackStore,
        registry: PipelineRegistry[ConvoyFormer],
        settings: GatewaySettings,
        targets: TargetRules,
    ) -> None:
        """Keeps the parts.

        Args:
            store: the queue.
            callbacks: the registered callbacks.
            registry: the pipelines that there are.
            settings: limits, and what is allowed.
            targets: which ones results may be pushed to.
        """
        self.max_batch_rows = settings.max_batch_rows
        self._partitions = store.partitions
        self._registry = registry
        self._max_fields = settings.max_fields
        self._max_bytes = settings.max_submission_bytes
        self._rules = CallbackRules(settings.allow_inline_callbacks, targets)
        self._book = CallbackBook(callbacks)
        self._commit = GroupCommit(store)
        self._tracing = process_tracing()
        self._account = SubmissionAccount(settings.log_sample_rate, SubmissionSpans(self._tracing))

    async def submit(
        self,
        submissions: Sequence[Submission],
        call_remaining_s: float | None,
        trace: Mapping[str, str],
    ) -> list[Outcome]:
        """Returns what became of each submission, in order, once all are durable or refused.

        Errors name fields by their path in the submission. Cancelling this call takes back what is
        not being written yet; whether the rest becomes durable is not known.

        Args:
            submissions: as received; they are changed by this.
            call_remaining_s: seconds until the call's deadline, or None if it has none.
            trace: W3C trace headers of the call.
        """
        received_ns = time.monotonic_ns()
        traces = [self._tracing.begin(trace) for _ in submissions]
        call = _Call(submissions, traces, received_ns)
        wait_s = LONGEST_WAIT_S if call_remaining_s is None else call_remaining_s
        written: list[_Written] = []
        try:
            async with asyncio.timeout(wait_s):
                if wait_s <= 0:
                    raise TimeoutError
                written = self._hand_over(call, await self._known(submissions))
                if written:
                    await asyncio.wait([group.outcomes for group in written])
        except TimeoutError:
            # What has no outcome by now is told so below.
            pass
        except asyncio.CancelledError:
            self._conclude(call, written, Cancelled("cancelled"))
            raise
        finally:
            for group in written:
                group.outcomes.cancel()
        late = DeadlineExceeded("the queue has not confirmed it in time")
        return self._conclude(call, written, late)

    def forget_callbacks(self) -> None:
        """Has the callbacks looked up anew: this process has changed one."""
        self._book.forget()

    async def close(self) -> None:
        """Ends what is being written."""
        await self._commit.close()

    async def _known(self, submissions: Sequence[Submission]) -> _Known:
        keys = callback_keys(submissions)
        if not keys:
            return {}
        try:
            return await self._book.find(keys)
        except TailraceError as error:
            return error

    def _hand_over(self, call: _Call, known: _Known) -> list[_Written]:
        """Refuses what is not in order, and has the rest written."""
        keyless: list[_Chosen] = []
        keyed: dict[int, list[_Chosen]] = {}
        for place, submission in enumerate(call.submissions):
            try:
                chosen = _Chosen(place, self._check(call, place, known))
            except TailraceError as error:
                call.outcomes[place] = error
                continue
            partition = partition_of(
                submission.request.tenant,
                submission.ordering_key,
                submission.idempotency_key,
                self._partitions,
            )
            (keyless if partition is None else keyed.setdefault(partition, [])).append(chosen)
        written = []
        for partition, group in keyed.items():
            for first in range(0, len(group), MAX_ROWS):
                part = group[first : first + MAX_ROWS]
                written.append(self._add(call, part, partition, free=False))
        for first in range(0, len(keyless), MAX_ROWS):
            part = keyless[first : first + MAX_ROWS]
            written.append(self._add(call, part, self._commit.free_partition(), free=True))
        return [group for group in written if group is not None]

    def _check(self, call: _Call, place: int, known: _Known) -> CallbackChoice | None:
        submission = call.submissions[place]
        request = submission.request
        if request.pipeline in self._registry:
            call.pipelines[place] = request.pipeline
        check_submission(submission, self._max_fields)
        try:
            self._registry.find(request.pipeline, request.pipeline_version)
        except NotFound as error:
            error.field = f"request.{error.field}"
            raise
        if isinstance(known, TailraceError):
            if submission.WhichOneof("callback_choice") == "callback":
                raise known
            return self._rules.choose(submission, {})
        return self._rules.choose(submission, known)

    def _add(
        self, call: _Call, group: Sequence[_Chosen], partition: int, *, free: bool
    ) -> _Written | None:
        submissions: list[NewSubmission] = []
        places: list[int] = []
        for place, callback in group:
            try:
                submission = new_submission(
                    new_prediction_id(partition),
                    call.submissions[place],
                    callback,
                    call.traces[place],
                    self._max_bytes,
                )
            except TailraceError as error:
                call.outcomes[place] = error
                continue
            call.request_ids[place] = submission.request_id
            submissions.append(submission)
            places.append(place)
        if not submissions:
            return None
        try:
            return _Written(places, self._commit.add(partition, submissions, free=free))
        except TailraceError as error:
            for place in places:
                call.outcomes[place] = error
            return None

    def _conclude(
        self, call: _Call, written: Sequence[_Written], unknown: TailraceError
    ) -> list[Outcome]:
        """Returns the outcomes, and takes note of them; `unknown` for those not confirmed yet."""
        for group in written:
            if group.outcomes.done() and not group.outcomes.cancelled():
                for place, outcome in zip(group.places, group.outcomes.result(), strict=True):
                    call.outcomes[place] = outcome
        outcomes = [unknown if outcome is None else outcome for outcome in call.outcomes]
        self._account.take(
            call.request_ids, outcomes, call.pipelines, call.traces, call.received_ns
        )
        return [
            outcome.of_trace(trace.trace_id) if isinstance(outcome, TailraceError) else outcome
            for outcome, trace in zip(outcomes, call.traces, strict=True)
        ]
