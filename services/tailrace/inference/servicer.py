"""The inference service over gRPC: a thin skin around the handler."""

from __future__ import annotations

from tailrace.inference.compile import InferencePlan
from tailrace.inference.handler import InferenceHandler
from tailrace.inference.outcomes import Inference
from tailrace.runtime.batch import Batch
from tailrace.runtime.hop_answer import HopAnswer
from tailrace.runtime.hop_call import CallContext, HopOutcome, HopRunner
from tailrace.runtime.hop_parts import RowFields
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
        outcome: HopOutcome[Inference] = await self._runner.run(
            request.batch, context, self._handler.handle
        )
        response = inference_service_pb2.InferResponse()
        result = outcome.result
        outcome.write(response.batch, response.timing, result.columns if result else None)
        if result:
            response.model_name = result.model
            response.model_versions.extend(result.versions)
        return response

    async def answer(self, batch: Batch, _: RowFields, context: CallContext) -> HopAnswer:
        """Returns the same for a caller in this process."""
        outcome: HopOutcome[Inference] = await self._runner.run(
            batch, context, self._handler.handle
        )
        result = outcome.result
        answer = outcome.answer(result.columns if result else None)
        if result:
            answer.model_name, answer.model_versions = result.model, result.versions
        return answer
