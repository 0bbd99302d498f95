"""The inference service over gRPC: a thin skin around the handler."""

from __future__ import annotations

from tailrace.inference.compile import InferencePlan
from tailrace.inference.handler import InferenceHandler
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns
from tailrace.runtime.hop_call import CallContext, HopRunner
from tailrace.runtime.wire import batch_to_proto
from tailrace.v1 import inference_service_pb2, inference_service_pb2_grpc


class InferenceServicer(inference_service_pb2_grpc.InferenceServiceServicer):
    """Answers `tailrace.v1.InferenceService`."""

    def __init__(self, runner: HopRunner[InferencePlan], handler: InferenceHandler) -> None:
        """Keeps the parts."""
        self._runner = runner
        self._handler = handler

    async def Infer(
        self,
        request: inference_service_pb2.InferRequest,
        context: CallContext,
    ) -> inference_service_pb2.InferResponse:
        """Runs the pipeline's model on the live rows."""
        outcome = await self._runner.run(request.batch, context, self._handler.handle)
        batch, result = outcome.batch, outcome.result
        columns = Columns(len(batch.rows)) if result is None else result.columns
        answer = Batch(batch.pipeline, batch.version, batch.rows, columns)
        return inference_service_pb2.InferResponse(
            batch=batch_to_proto(answer),
            model_name="" if result is None else result.model,
            model_versions=() if result is None else result.versions,
            timing=outcome.timing,
        )
