"""The ingest hop over gRPC."""

from __future__ import annotations

from tailrace.ingest.compile import CompiledIngest
from tailrace.ingest.handler import IngestHandler
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns
from tailrace.runtime.hop_call import CallContext, HopRunner
from tailrace.runtime.wire import batch_to_proto
from tailrace.v1 import ingest_service_pb2, ingest_service_pb2_grpc


class IngestServicer(ingest_service_pb2_grpc.IngestServiceServicer):
    """Answers `tailrace.v1.IngestService`."""

    def __init__(self, runner: HopRunner[CompiledIngest], handler: IngestHandler) -> None:
        """Keeps the parts."""
        self._runner = runner
        self._handler = handler

    async def Preprocess(
        self,
        request: ingest_service_pb2.PreprocessRequest,
        context: CallContext,
    ) -> ingest_service_pb2.PreprocessResponse:
        """Returns the rows with the pipeline's ingest columns."""
        requests = [row.fields for row in request.requests]

        async def work(batch: Batch, compiled: CompiledIngest) -> Columns:
            return await self._handler.handle(batch, requests, compiled)

        outcome = await self._runner.run(request.batch, context, work)
        batch = outcome.batch
        batch.columns = outcome.result or Columns(len(batch.rows))
        return ingest_service_pb2.PreprocessResponse(
            batch=batch_to_proto(batch), timing=outcome.timing
        )
