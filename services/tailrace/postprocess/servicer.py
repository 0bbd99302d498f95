"""The postprocess hop over gRPC."""

from __future__ import annotations

from tailrace.postprocess.compile import CompiledPostprocess
from tailrace.postprocess.handler import PostprocessHandler
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns
from tailrace.runtime.hop_answer import HopAnswer
from tailrace.runtime.hop_call import CallContext, HopOutcome, HopRunner
from tailrace.runtime.hop_parts import RowFields
from tailrace.v1 import postprocess_service_pb2, postprocess_service_pb2_grpc


class PostprocessServicer(postprocess_service_pb2_grpc.PostprocessServiceServicer):
    """Answers `tailrace.v1.PostprocessService`."""

    def __init__(self, runner: HopRunner[CompiledPostprocess], handler: PostprocessHandler) -> None:
        """Keeps the parts."""
        self._runner = runner
        self._handler = handler

    async def Postprocess(
        self,
        request: postprocess_service_pb2.PostprocessRequest,
        context: CallContext,
    ) -> postprocess_service_pb2.PostprocessResponse:
        """Returns the rows with the pipeline's prediction columns."""
        outcome: HopOutcome[Columns] = await self._runner.run(
            request.batch, context, self._handler.handle
        )
        response = postprocess_service_pb2.PostprocessResponse()
        outcome.write(response.batch, response.timing, outcome.result)
        return response

    async def answer(self, batch: Batch, _: RowFields, context: CallContext) -> HopAnswer:
        """Returns the same for a caller in this process."""
        outcome: HopOutcome[Columns] = await self._runner.run(batch, context, self._handler.handle)
        return outcome.answer(outcome.result)
