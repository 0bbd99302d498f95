"""From claims to rows of convoys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from tailrace.gateway.convoy import ConvoyRow
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.deadline import NS_PER_MS
from tailrace.runtime.errors import InvalidField, NotFound
from tailrace.runtime.pipeline.registry import PipelineRegistry
from tailrace.runtime.tracing.trace_context import TraceContext, read_traceparent
from tailrace.runtime.tracing.tracing import process_tracing
from tailrace.submissions.records import Claim
from tailrace.v1 import batch_pb2, prediction_service_pb2

Request = prediction_service_pb2.PredictRequest
Registry = PipelineRegistry[ConvoyFormer]


@dataclass(slots=True, eq=False)
class SubmittedRow(ConvoyRow):
    """A submission that runs.

    Attributes:
        prediction_id: of the submission.
        run_attempt: which of its runs this is, from 1.
    """

    prediction_id: str = ""
    run_attempt: int = 0

    def log_fields(self) -> Mapping[str, object]:
        """Returns which submission it is, and which of its runs."""
        return {names.PREDICTION_ID: self.prediction_id, names.RUN_ATTEMPT: self.run_attempt}


async def read_claims(
    claims: Sequence[Claim], registry: Registry
) -> list[tuple[Request, ConvoyFormer] | InvalidField | NotFound]:
    """Returns the request of each claim and the entrance of its pipeline, or why there is none.

    A pipeline that is not known is looked for in the directory once: the gateway that took the
    submission may have seen it a moment before this process.
    """
    found = [_read(claim, registry) for claim in claims]
    if not any(isinstance(each, NotFound) for each in found):
        return found
    await registry.refresh()
    return [
        _read(claim, registry) if isinstance(each, NotFound) else each
        for claim, each in zip(claims, found, strict=True)
    ]


def _read(
    claim: Claim, registry: Registry
) -> tuple[Request, ConvoyFormer] | InvalidField | NotFound:
    try:
        request = Request.FromString(claim.request)
    except DecodeError:
        return InvalidField("the request cannot be read as its message type")
    try:
        return request, registry.find(request.pipeline, request.pipeline_version)
    except NotFound as error:
        return error


def convoy_row(
    claim: Claim,
    request: Request,
    former: ConvoyFormer,
    received_ns: int,
    deadline_ms: int | None,
) -> ConvoyRow:
    """Returns a claim as a row.

    Args:
        claim: from the queue.
        request: its request.
        former: the entrance of its pipeline.
        received_ns: when it was claimed, on the monotonic clock.
        deadline_ms: deadline of the run; the pipeline's longest if None.
    """
    longest_ms = former.chain.pipeline.spec.deadline.maximum_ms
    granted_ns = int((longest_ms if deadline_ms is None else deadline_ms) * NS_PER_MS)
    return SubmittedRow(
        pipeline=request.pipeline,
        request_id=request.request_id or claim.prediction_id,
        fields=request.fields,
        deadline_ns=received_ns + granted_ns,
        granted_ns=granted_ns,
        received_ns=received_ns,
        trace=run_trace(claim),
        # The submission's own priority orders it in the queue alone.
        priority=batch_pb2.PRIORITY_BACKGROUND,
        tenant=claim.tenant,
        data=claim.request,
        prediction_id=claim.prediction_id,
        run_attempt=claim.run_attempts,
    )


def run_trace(claim: Claim) -> TraceContext:
    """Returns the place of the span of a claim's run: below that of its submission."""
    # One of our own gateways has decided whether it is in the sample.
    submission = read_traceparent(claim.traceparent, claim.tracestate)
    return process_tracing().begin({}) if submission is None else submission.child()
