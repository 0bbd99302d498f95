"""`PredictionService` over gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from tailrace.gateway.convoy import Outcome
from tailrace.gateway.no_submissions import NoSubmissions
from tailrace.gateway.prediction_stream import PredictionStream
from tailrace.gateway.predictor import Predictor
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.error_mapping import also_begun_by, parsed, status_of
from tailrace.runtime.errors import LimitExceeded, TailraceError
from tailrace.runtime.patient_writer import PatientWriter
from tailrace.runtime.pipeline.description import describe_pipeline
from tailrace.runtime.tracing.trace_context import HEADER_FORMS
from tailrace.runtime.unary_call import DirectCall
from tailrace.v1 import prediction_service_pb2

Context = grpc.aio.ServicerContext[Any, Any]


class PredictionServicer(NoSubmissions):
    """Translates between gRPC and the predictor."""

    def __init__(
        self, predictor: Predictor, settings: GatewaySettings, draining: asyncio.Event
    ) -> None:
        """Keeps the parts.

        Args:
            predictor: makes the predictions.
            settings: limits and timeouts.
            draining: set once the process is to end; streams then end, too.
        """
        self._predictor = predictor
        self._settings = settings
        self._draining = draining

    def begin_predict(self, data: bytes, call: DirectCall) -> None:
        """Begins to make one prediction, as `Predict` does. Raises TailraceError."""
        request = parsed(data, prediction_service_pb2.PredictRequest.FromString)

        def deliver(place: int, request_id: str, outcome: Outcome) -> None:
            if isinstance(outcome, TailraceError):
                call.fail(outcome)
            else:
                call.answer(outcome)

        arrival = self._predictor.submit(
            [request], call.time_remaining(), trace_headers(call), 0, deliver, data
        )
        if arrival.waits:
            call.abandon = arrival.abandon

    @also_begun_by(begin_predict)
    async def Predict(
        self,
        request: prediction_service_pb2.PredictRequest,
        context: Context,
    ) -> prediction_service_pb2.PredictResponse:
        """Makes one prediction. Raises TailraceError."""
        outcomes = await self._predictor.predict(
            [request], context.time_remaining(), trace_headers(context)
        )
        if isinstance(outcomes[0], TailraceError):
            raise outcomes[0]
        return outcomes[0]

    async def PredictBatch(
        self,
        request: prediction_service_pb2.PredictBatchRequest,
        context: Context,
    ) -> prediction_service_pb2.PredictBatchResponse:
        """Makes many predictions, each with its own outcome. Raises LimitExceeded."""
        if len(request.requests) > self._predictor.max_batch_rows:
            raise LimitExceeded(
                f"{len(request.requests)} requests, at most "
                f"{self._predictor.max_batch_rows} are allowed",
                field="requests",
            )
        outcomes = await self._predictor.predict(
            request.requests, context.time_remaining(), trace_headers(context)
        )
        response = prediction_service_pb2.PredictBatchResponse()
        for outcome in outcomes:
            if isinstance(outcome, TailraceError):
                response.results.add().error.CopyFrom(status_of(outcome))
            else:
                response.results.add().response.CopyFrom(outcome)
        return response

    async def PredictStream(  # type: ignore[override]  # read and written, not iterated
        self, request_iterator: Any, context: Context
    ) -> None:
        """Makes predictions as long as requests come. Raises TailraceError."""

        async def read() -> prediction_service_pb2.PredictStreamRequest | None:
            data = await context.read()
            if data is grpc.aio.EOF:
                return None
            message: prediction_service_pb2.PredictStreamRequest = parsed(
                data, prediction_service_pb2.PredictStreamRequest.FromString
            )
            return message

        writer = PatientWriter(context.write, self._settings.stream_idle_timeout_ms / 1000)
        stream = PredictionStream(
            self._predictor,
            self._settings,
            trace_headers(context),
            read,
            writer.write,
            context.time_remaining,
            self._draining,
        )
        try:
            await stream.run()
        except TailraceError:
            await writer.settle()
            raise
        finally:
            writer.close()

    async def ListPipelines(
        self,
        request: prediction_service_pb2.ListPipelinesRequest,
        context: Context,
    ) -> prediction_service_pb2.ListPipelinesResponse:
        """Lists the pipelines being served."""
        registry = self._predictor.registry
        errors = registry.errors
        summaries = [
            prediction_service_pb2.PipelineSummary(
                name=pipeline.name,
                version=pipeline.version,
                description=pipeline.spec.description,
                load_error=str(errors.pop(pipeline.file, "")),
            )
            for pipeline in registry.pipelines()
        ]
        # Files that no pipeline has ever come from: view files, and files broken from the start.
        summaries += [
            prediction_service_pb2.PipelineSummary(name=file.stem, load_error=str(error))
            for file, error in errors.items()
        ]
        return prediction_service_pb2.ListPipelinesResponse(
            pipelines=sorted(summaries, key=lambda summary: summary.name)
        )

    async def GetPipeline(
        self,
        request: prediction_service_pb2.GetPipelineRequest,
        context: Context,
    ) -> prediction_service_pb2.GetPipelineResponse:
        """Describes one pipeline. Raises NotFound."""
        former = self._predictor.registry.find(request.pipeline, request.pipeline_version)
        return prediction_service_pb2.GetPipelineResponse(
            pipeline=describe_pipeline(former.chain.pipeline)
        )


def trace_headers(context: Context | DirectCall) -> dict[str, str]:
    """Returns the W3C trace headers of a call, without those that are malformed or too long.

    Every row of a batch carries them on, so that what is long here is long many times there.
    """
    found: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        pattern = HEADER_FORMS.get(key)
        if pattern is not None and isinstance(value, str) and pattern.fullmatch(value):
            found[key] = value
    return found
