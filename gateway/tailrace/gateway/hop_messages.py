"""Between what the chain asks of a hop and the messages of the hop's service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from tailrace.gateway.hop_port import HopRequest
from tailrace.gateway.request_packing import pack_requests
from tailrace.runtime.columns import Block
from tailrace.runtime.errors import Code, Internal, TailraceError
from tailrace.runtime.hop_answer import HopAnswer
from tailrace.runtime.wire import error_from_proto, write_block
from tailrace.v1 import (
    batch_pb2,
    feature_service_pb2,
    inference_service_pb2,
    ingest_service_pb2,
    postprocess_service_pb2,
)

Response: TypeAlias = (
    ingest_service_pb2.PreprocessResponse
    | feature_service_pb2.LookupFeaturesResponse
    | inference_service_pb2.InferResponse
    | postprocess_service_pb2.PostprocessResponse
)

_REQUESTS: Mapping[str, type[Any]] = {
    "ingest": ingest_service_pb2.PreprocessRequest,
    "features": feature_service_pb2.LookupFeaturesRequest,
    "inference": inference_service_pb2.InferRequest,
    "postprocess": postprocess_service_pb2.PostprocessRequest,
}


def request_message(hop: str, request: HopRequest) -> Any:
    """Returns the message that asks a hop's service; time remaining is as of now."""
    message = _REQUESTS[hop]()
    # In place: a message that is handed to another is copied.
    request.convoy.write_header(message.batch, request.rows)
    blocks = message.batch.blocks
    for block in request.blocks:
        if isinstance(block, Block):
            write_block(blocks.add(), block)
        else:
            blocks.append(block)
    if hop == "ingest":
        # Copied as bytes: taking the fields over one by one takes three times as long.
        members = request.convoy.members(request.rows)
        message.MergeFromString(pack_requests([row.data for row in members]))
    return message


def answer_of(hop: str, response: Response) -> HopAnswer:
    """Returns what a hop's service answered; its columns stay unopened."""
    batch, timing = response.batch, response.timing
    answer = HopAnswer(
        batch.blocks[:], _failures(hop, batch.rows.errors), timing.queue_ns, timing.work_ns
    )
    if isinstance(response, feature_service_pb2.LookupFeaturesResponse):
        answer.views = response.views[:]
    elif isinstance(response, inference_service_pb2.InferResponse):
        answer.model_name = response.model_name
        answer.model_versions = response.model_versions[:]
    return answer


def _failures(
    hop: str, errors: Sequence[batch_pb2.RowError]
) -> Iterator[tuple[int, TailraceError]]:
    for failure in errors:
        if not 1 <= failure.code <= Code.UNAUTHENTICATED:
            raise Internal(f"{hop} answered with code {failure.code} for row {failure.row}")
        yield failure.row, error_from_proto(failure)
