"""What a gRPC receiver says of a delivery; it may say anything, so nothing here trusts it."""

from __future__ import annotations

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from tailrace.runtime.error_mapping import STATUS_DETAILS_KEY
from tailrace.runtime.errors import Code, Reason
from tailrace.submissions.push import outcome as results
from tailrace.submissions.push.outcome import PushOutcome
from tailrace.submissions.push.retry_after import bounded_wait_s

DELIVERED = PushOutcome(delivered=True, result="gRPC OK")
_DETAILS_LOOKED_AT = 8
_CODES = {code.value: code.name for code in Code}


def status_outcome(status: status_pb2.Status) -> PushOutcome:
    """Returns what a status says of one delivery."""
    if status.code == Code.OK:
        return DELIVERED
    reason, retry_after_s = _details(status)
    return PushOutcome(
        delivered=False,
        result=f"gRPC {_CODES.get(status.code, 'UNKNOWN')}",
        retry_after_s=retry_after_s,
        gone=status.code == Code.FAILED_PRECONDITION and reason == Reason.CALLBACK_GONE.name,
    )


def failure_outcome(failure: grpc.aio.AioRpcError) -> PushOutcome:
    """Returns what a failed call says of all that it carried."""
    code = failure.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return results.failed(results.TIMEOUT)
    status = status_pb2.Status()
    for key, value in failure.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                # The call's own code is left.
                status = status_pb2.Status()
    status.code = code.value[0]
    return status_outcome(status)


def _details(status: status_pb2.Status) -> tuple[str, float | None]:
    """Returns the reason, or empty, and the wait that is asked for, or None."""
    reason, retry_after_s = "", None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details[:_DETAILS_LOOKED_AT]:
        try:
            if detail.Unpack(info):
                reason = info.reason
            elif detail.Unpack(retry):
                retry_after_s = bounded_wait_s(
                    retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
                )
        except DecodeError:
            continue
    return reason, retry_after_s
