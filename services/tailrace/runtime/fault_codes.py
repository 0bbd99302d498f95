"""Whose fault an outcome is: what an availability objective counts, and what it does not."""

from __future__ import annotations

from tailrace.runtime.errors import Code

CALLERS_FAULTS = (
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "OUT_OF_RANGE",
    "CANCELLED",
)
"""gRPC codes by which a request counts neither as answered nor as failed, by name."""

CALLERS_CODES = frozenset(Code[name] for name in CALLERS_FAULTS)
"""The same as numbers."""

SERVICES_FAULTS = (
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
)
"""gRPC codes that count against availability: all others but OK."""
