"""The submission calls of `PredictionService` over gRPC, beside the synchronous ones."""

from __future__ import annotations

import asyncio

from tailrace.gateway.change_tail import ChangeTails
from tailrace.gateway.prediction_servicer import Context, PredictionServicer, trace_headers
from tailrace.gateway.prediction_watch import PredictionWatch
from tailrace.gateway.predictor import Predictor
from tailrace.gateway.submitted_predictions import SubmittedPredictions
from tailrace.gateway.submitter import Submitter
from tailrace.gateway.watch_filter import WatchFilter
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.error_mapping import status_of
from tailrace.runtime.errors import InvalidField, LimitExceeded, TailraceError
from tailrace.runtime.patient_writer import PatientWriter
from tailrace.submissions.record_message import prediction_record, timestamp
from tailrace.submissions.records import Submitted
from tailrace.submissions.store import SubmissionStore
from tailrace.v1 import prediction_service_pb2 as messages


class SubmissionServicer(PredictionServicer):
    """Translates between gRPC and the queue."""

    def __init__(
        self,
        predictor: Predictor,
        settings: GatewaySettings,
        draining: asyncio.Event,
        store: SubmissionStore,
        tails: ChangeTails,
        submitter: Submitter,
    ) -> None:
        """Keeps the parts.

        Args:
            predictor: makes the synchronous predictions.
            settings: limits and timeouts.
            draining: set once the process is to end; streams then end, too.
            store: the queue.
            tails: the changes of each of its partitions.
            submitter: takes submissions.
        """
        super().__init__(predictor, settings, draining)
        self._store = store
        self._tails = tails
        self._submitter = submitter
        self._submitted = SubmittedPredictions(store, tails, settings.stream_idle_timeout_ms / 1000)

    async def SubmitPrediction(  # type: ignore[override]  # the base refuses
        self, request: messages.SubmitPredictionRequest, context: Context
    ) -> messages.SubmitPredictionResponse:
        """Submits one prediction. Raises TailraceError."""
        if not request.HasField("submission"):
            raise InvalidField("there is no submission", field="submission")
        [outcome] = await self._submitter.submit(
            [request.submission], context.time_remaining(), trace_headers(context)
        )
        if isinstance(outcome, TailraceError):
            raise _within(outcome, "submission")
        return messages.SubmitPredictionResponse(submitted=_submitted_message(outcome))

    async def SubmitPredictions(  # type: ignore[override]
        self, request: messages.SubmitPredictionsRequest, context: Context
    ) -> messages.SubmitPredictionsResponse:
        """Submits many predictions, each with its own outcome. Raises LimitExceeded."""
        if len(request.submissions) > self._submitter.max_batch_rows:
            raise LimitExceeded(
                f"{len(request.submissions)} submissions, at most "
                f"{self._submitter.max_batch_rows} are allowed",
                field="submissions",
            )
        outcomes = await self._submitter.submit(
            request.submissions, context.time_remaining(), trace_headers(context)
        )
        response = messages.SubmitPredictionsResponse()
        for place, outcome in enumerate(outcomes):
            result = response.results.add()
            if isinstance(outcome, TailraceError):
                result.error.CopyFrom(status_of(_within(outcome, f"submissions[{place}]")))
            else:
                result.submitted.CopyFrom(_submitted_message(outcome))
        return response

    async def GetPrediction(  # type: ignore[override]
        self, request: messages.GetPredictionRequest, context: Context
    ) -> messages.GetPredictionResponse:
        """Returns a prediction, now or once it is final. Raises NotFound, InvalidField."""
        stored = await self._submitted.get(request, context.time_remaining())
        return messages.GetPredictionResponse(prediction=prediction_record(stored))

    async def WatchPredictions(  # type: ignore[override]  # written, not iterated
        self, request: messages.WatchPredictionsRequest, context: Context
    ) -> None:
        """Tells changes as they happen. Raises TailraceError."""
        writer = PatientWriter(context.write, self._settings.stream_idle_timeout_ms / 1000)
        watch = PredictionWatch(
            self._store,
            self._tails,
            WatchFilter(request, self._store.partitions),
            self._settings.max_message_bytes,
            writer.write,
            self._draining,
        )
        try:
            await watch.run(request.position)
        except TailraceError:
            await writer.settle()
            raise
        finally:
            writer.close()

    async def CancelPrediction(  # type: ignore[override]
        self, request: messages.CancelPredictionRequest, context: Context
    ) -> messages.CancelPredictionResponse:
        """Cancels a prediction. Raises NotFound, FailedPrecondition."""
        stored = await self._submitted.cancel(request.prediction_id, request.tenant)
        return messages.CancelPredictionResponse(prediction=prediction_record(stored))

    async def ListPredictions(  # type: ignore[override]
        self, request: messages.ListPredictionsRequest, context: Context
    ) -> messages.ListPredictionsResponse:
        """Lists predictions in one state. Raises InvalidField."""
        page, token = await self._submitted.list_state(request)
        return messages.ListPredictionsResponse(
            predictions=[prediction_record(stored, outcome=False) for stored in page],
            next_page_token=token,
        )


def _submitted_message(submitted: Submitted) -> messages.SubmittedPrediction:
    return messages.SubmittedPrediction(
        prediction_id=submitted.prediction_id,
        state=submitted.state.value,  # type: ignore[arg-type]  # a plain number is accepted
        already_submitted=submitted.already_submitted,
        create_time=timestamp(submitted.created_ms),
    )


def _within(error: TailraceError, path: str) -> TailraceError:
    """Returns an error whose field is named from the message on; those without one have none."""
    if error.field:
        error.field = f"{path}.{error.field}"
    return error
