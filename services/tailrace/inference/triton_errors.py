"""What a failed call to Triton means. Triton says much of it only in words.

The words were read off a running server, version 2.51; each is held by a test against one.
"""

from __future__ import annotations

import grpc

from tailrace.runtime.error_mapping import unexpected
from tailrace.runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    Overloaded,
    Reason,
    TailraceError,
    Unavailable,
)

QUEUE_PUSHBACK_MS = 50

_QUEUE_FULL = "Exceeds maximum queue size"
_QUEUE_TIMEOUT = "Request timeout expired"
_WORKER_DEAD = "is not healthy"


class ModelCallFailed(Exception):
    """A model failed while it ran; Triton's own words, for the log only."""


def infer_error(model: str, failure: grpc.aio.AioRpcError) -> TailraceError:
    """Returns what a failed ModelInfer means.

    Only versions that were ready at the last poll are called, so one that Triton does not
    know now has just been unloaded.
    """
    code, details = failure.code(), failure.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or _QUEUE_TIMEOUT in details:
        return DeadlineExceeded(f"the deadline passed while model {model!r} was being called")
    if _QUEUE_FULL in details:
        return Overloaded(
            f"the queue of model {model!r} is full",
            reason=Reason.MODEL_QUEUE_FULL,
            retry_after_ms=QUEUE_PUSHBACK_MS,
        )
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND) or _WORKER_DEAD in details:
        return model_unavailable(model)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return FailedPrecondition(
            f"model {model!r} does not take what the pipeline gives: {_one_line(details)}",
            reason=Reason.MODEL_MISMATCH,
        )
    if code is grpc.StatusCode.CANCELLED:
        return Cancelled(f"the call to model {model!r} was cancelled")
    return unexpected(ModelCallFailed(f"model {model!r}: {code.name}: {details}"))


def model_unavailable(model: str) -> Unavailable:
    """Returns the error of a model that cannot be reached or is not ready."""
    return Unavailable(
        f"model {model!r} cannot serve at the moment", reason=Reason.MODEL_UNAVAILABLE
    )


def _one_line(details: str) -> str:
    # "[request id: <id_unknown>] unexpected shape ...": the id is ours to tell, not Triton's.
    return " ".join(details.split("] ", 1)[-1].split())[:300]
