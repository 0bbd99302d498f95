"""The ingest hop over gRPC."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from tailrace.ingest.compile import CompiledIngest
from tailrace.ingest.handler import IngestHandler
from tailrace.runtime.batch import Batch
from tailrace.runtime.columns import Columns
from tailrace.runtime.hop_answer import HopAnswer
from tailrace.runtime.hop_call import CallContext, HopOutcome, HopRunner
from tailrace.runtime.hop_parts import RowFields
from tailrace.v1 import batch_pb2, ingest_service_pb2, ingest_service_pb2_grpc


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
        outcome = await self._run(request.batch, requests, context)
        response = ingest_service_pb2.PreprocessResponse()
        outcome.write(response.batch, response.timing, outcome.result)
        return response

    async def answer(self, batch: Batch, fields: RowFields, context: CallContext) -> HopAnswer:
        """Returns the same for a caller in this process."""
        outcome = await self._run(batch, fields, context)
        return outcome.answer(outcome.result)

    def _run(
        self, batch: batch_pb2.Batch | Batch, requests: RowFields, context: CallContext
    ) -> Coroutine[Any, Any, HopOutcome[Columns]]:
        handle = self._handler.handle
        return self._runner.run(
            batch, context, lambda batch, compiled: handle(batch, requests, compiled)
        )
