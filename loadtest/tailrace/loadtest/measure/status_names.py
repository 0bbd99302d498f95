"""How gRPC's statuses are told: by the names that Go has for them, as in ghz's reports."""

from __future__ import annotations

# By code: https://grpc.io/docs/guides/status-codes/, spelt as in google.golang.org/grpc/codes.
_NAMES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)


def status_name(code: int) -> str:
    """Returns a status's name, such as `DeadlineExceeded`; `Code(99)` for one that has none."""
    return _NAMES[code] if 0 <= code < len(_NAMES) else f"Code({code})"


def error_text(code: int, message: str) -> str:
    """Returns a failed call's error, such as `rpc error: code = Unavailable desc = refused`."""
    return f"rpc error: code = {status_name(code)} desc = {message}"
