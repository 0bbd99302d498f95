"""gRPC's status codes, and what becomes one where a server sends none.

The tables are those of gRPC's own documents: "gRPC over HTTP2" (errors of streams) and "HTTP to
gRPC Status Code Mapping".
"""

from __future__ import annotations

from tailrace.loadtest.wire.frames import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    HTTP_1_1_REQUIRED,
    INADEQUATE_SECURITY,
    REFUSED_STREAM,
)

OK = 0
CANCELLED = 1
UNKNOWN = 2
DEADLINE_EXCEEDED = 4
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16

# Go's words, which those who read ghz's reports look for.
DEADLINE_MESSAGE = "context deadline exceeded"

_OF_STREAM_ERROR = {
    REFUSED_STREAM: UNAVAILABLE,
    CANCEL: CANCELLED,
    ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED,
    INADEQUATE_SECURITY: PERMISSION_DENIED,
    HTTP_1_1_REQUIRED: UNKNOWN,
}
_OF_HTTP_STATUS = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    429: UNAVAILABLE,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}


def of_stream_error(code: int) -> int:
    """Returns the status of a call whose stream was reset with an HTTP/2 error code."""
    return _OF_STREAM_ERROR.get(code, INTERNAL)


def of_http_status(status: int) -> int:
    """Returns the status of a call that was answered with an HTTP status other than 200."""
    return _OF_HTTP_STATUS.get(status, UNKNOWN)
