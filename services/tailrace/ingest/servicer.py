"""The ingest hop over gRPC."""

from __future__ import annotations

from tailrace.ingest.compile import CompiledIngest
from tailrace.ingest.handler import IngestHandler
from tailrace.runtime.columns import Columns
from tailrace.runtime.hop_call import CallContext, HopOutcome, HopRunner
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
        handle = self._handler.handle
        outcome: HopOutcome[Columns] = await self._runner.run(
            request.batch,
            context,
            lambda batch, compiled: handle(batch, requests, compiled),
        )
        response = ingest_service_pb2.PreprocessResponse()
        outcome.write(response.batch, response.timing, outcome.result)
        return response
