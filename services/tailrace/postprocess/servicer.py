"""The postprocess hop over gRPC."""

from __future__ import annotations

from tailrace.postprocess.compile import CompiledPostprocess
from tailrace.postprocess.handler import PostprocessHandler
from tailrace.runtime.columns import Columns
from tailrace.runtime.hop_call import CallContext, HopRunner
from tailrace.runtime.wire import batch_to_proto
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
        outcome = await self._runner.run(request.batch, context, self._handler.handle)
        batch = outcome.batch
        batch.columns = outcome.result or Columns(len(batch.rows))
        return postprocess_service_pb2.PostprocessResponse(
            batch=batch_to_proto(batch), timing=outcome.timing
        )
