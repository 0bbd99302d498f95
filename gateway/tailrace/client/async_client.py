"""The client for programs on asyncio."""

# A timeout here is the deadline that travels with the call; `asyncio.timeout` would not send it.
# ruff: noqa: ASYNC109

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from tailrace.client.async_stream import AsyncStream, Call
from tailrace.client.async_submissions import AsyncSubmissions
from tailrace.client.errors import PredictionError
from tailrace.client.pipelines import PipelineSummary
from tailrace.client.prediction import Prediction
from tailrace.client.request import (
    BatchCall,
    Priority,
    RequestTemplate,
    checked_timeout,
    fresh_request_ids,
    new_request_id,
)
from tailrace.client.stream_book import StreamBook, StreamLimits, StreamResult
from tailrace.client.trace_headers import in_trace_of_now
from tailrace.client.values import Fields
from tailrace.v1 import prediction_service_pb2 as messages
from tailrace.v1.pipeline_pb2 import PipelineDescription

if TYPE_CHECKING:
    pass

Response = TypeVar("Response")


class AsyncClient(AsyncSubmissions):
    """Asks a gateway for predictions.

    Connections are opened by the first call, on the event loop that it runs on; all later
    calls belong to the same loop. Cancelling a call cancels it at the gateway, too. No
    prediction is asked for twice: the gateway does that where it is safe. Submissions are repeated
    while the gateway is unavailable; see `submit`.
    """

    async def predict(
        self,
        pipeline: str,
        fields: Fields,
        *,
        timeout: float | None = None,
        pipeline_version: str = "",
        request_id: str = "",
        priority: Priority = Priority.NORMAL,
        tenant: str = "",
    ) -> Prediction:
        """Returns one prediction.

        Args:
            pipeline: name of the pipeline.
            fields: the request by field name; see `tailrace.client.values.to_value`.
            timeout: deadline in seconds; None means the client's. The gateway shortens it to
                the pipeline's maximum.
            pipeline_version: version to use; empty means the current one.
            request_id: id for logs and traces; empty means a fresh one.
            priority: how important the request is when not all can be served.
            tenant: whom the request is made for.

        Raises:
            PredictionError: there is none; the subclass says what kind of trouble it is.
        """
        request_id = request_id or new_request_id()
        template = RequestTemplate(
            pipeline=pipeline, pipeline_version=pipeline_version, priority=priority, tenant=tenant
        )
        request = template.request(fields, request_id)
        response = await self._call(self._stub().Predict, request, timeout, request_id)
        return Prediction.of_message(response)

    async def predict_batch(
        self,
        pipeline: str,
        rows: Iterable[Fields],
        *,
        timeout: float | None = None,
        pipeline_version: str = "",
        request_ids: Sequence[str] | None = None,
        priority: Priority = Priority.NORMAL,
        tenant: str = "",
    ) -> list[Prediction | PredictionError]:
        """Returns one outcome per row, in order: the prediction, or why there is none.

        All rows travel in one call, so they have to fit into one message and into the
        gateway's limit of rows.

        Args:
            pipeline: name of the pipeline.
            rows: the requests by field name.
            timeout: deadline of the whole call in seconds; None means the client's.
            pipeline_version: version to use; empty means the current one.
            request_ids: one id per row; None means fresh ones.
            priority: how important the requests are when not all can be served.
            tenant: whom the requests are made for.

        Raises:
            PredictionError: the call as a whole failed.
            ValueError: not as many request ids as rows.
        """
        template = RequestTemplate(
            pipeline=pipeline, pipeline_version=pipeline_version, priority=priority, tenant=tenant
        )
        batch = BatchCall(template, rows, request_ids)
        response = messages.PredictBatchResponse()
        if batch.message.requests:
            response = await self._call(self._stub().PredictBatch, batch.message, timeout)
        return batch.results(response)

    def predict_stream(
        self,
        pipeline: str,
        rows: Iterable[Fields] | AsyncIterable[Fields],
        *,
        timeout: float | None = None,
        stream_timeout: float | None = None,
        pipeline_version: str = "",
        request_ids: Iterable[str] | None = None,
        priority: Priority = Priority.NORMAL,
        tenant: str = "",
        rows_per_message: int = 32,
        max_unanswered: int = 1024,
        ordered: bool = False,
    ) -> AsyncGenerator[StreamResult, None]:
        """Yields what becomes of many rows, in the order in which it is known.

        One call, over one connection, takes any number of rows. They are taken from `rows` as
        they are needed: a gateway that is behind, or a caller who does not ask for more, stops
        the taking. Rows at hand are sent without waiting for those that would fill a message.

        Nothing is lost silently: every row that was taken is yielded as one `StreamResult`, or
        stands in `unanswered` of the error that ends the stream. Where `rows` itself raises,
        what was taken is yielded first, and then the same exception raised.

        Closing the generator (`aclose`, or `contextlib.aclosing` around it) cancels the stream at
        once; leaving the loop does so, too, as soon as nothing refers to the generator.

        Args:
            pipeline: name of the pipeline.
            rows: the requests by field name. An iterable that has to wait for its next row
                should be asynchronous: a plain one keeps the event loop waiting.
            timeout: time allowed for each request in seconds, from its receipt by the gateway;
                None means the client's. The gateway shortens it to the pipeline's maximum.
            stream_timeout: deadline of the whole stream in seconds; None means none.
            pipeline_version: version to use; empty means the current one.
            request_ids: an id for each row, taken together with it; None means fresh ones.
            priority: how important the requests are when not all can be served.
            tenant: whom the requests are made for.
            rows_per_message: most requests of one message, which has to stay within the largest
                size of one.
            max_unanswered: most rows that are taken and not yet yielded.
            ordered: yield in the order of the rows. A slow one then holds back those after it,
                `max_unanswered` of them at most.

        Raises:
            PredictionError: the stream broke; `unanswered` says which requests have no answer.
            ValueError: limits that no message fits into, a timeout that is no finite number, or
                fewer request ids than rows.
        """
        template = RequestTemplate(
            pipeline=pipeline,
            pipeline_version=pipeline_version,
            priority=priority,
            tenant=tenant,
            timeout_s=self._timeout if timeout is None else checked_timeout(timeout),
        )
        limits = StreamLimits(
            rows_per_message=rows_per_message, max_unanswered=max_unanswered, ordered=ordered
        )
        ids = fresh_request_ids() if request_ids is None else iter(request_ids)
        deadline = None if stream_timeout is None else checked_timeout(stream_timeout)

        def open_call() -> Call:
            return self._stub().PredictStream(timeout=deadline, metadata=self._headers())

        return AsyncStream(
            StreamBook(template, limits, ids), rows, in_trace_of_now(open_call)
        ).results()

    async def list_pipelines(self, *, timeout: float | None = None) -> list[PipelineSummary]:
        """Returns the pipelines being served, by name. Raises PredictionError."""
        request = messages.ListPipelinesRequest()
        response = await self._call(self._stub().ListPipelines, request, timeout)
        return [PipelineSummary.of_message(summary) for summary in response.pipelines]

    async def describe_pipeline(
        self, pipeline: str, *, pipeline_version: str = "", timeout: float | None = None
    ) -> PipelineDescription:
        """Returns what a pipeline takes, does and returns; see `tailrace/v1/pipeline.proto`.

        Raises:
            PredictionError: it cannot be described; `NotFound` if there is no such pipeline.
        """
        request = messages.GetPipelineRequest(pipeline=pipeline, pipeline_version=pipeline_version)
        response = await self._call(self._stub().GetPipeline, request, timeout)
        return response.pipeline
