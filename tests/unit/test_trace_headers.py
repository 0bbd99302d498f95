"""Which trace headers of a call go on with its rows."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.gateway.prediction_servicer import trace_headers

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class _Call:
    """The part of a servicer context that is read."""

    def __init__(self, *metadata: tuple[str, str | bytes]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Any:
        return self._metadata


def test_trace_headers_are_taken_and_no_others() -> None:
    call: Any = _Call(("traceparent", PARENT), ("tracestate", "a=1,b=2"), ("user-agent", "x"))

    assert trace_headers(call) == {"traceparent": PARENT, "tracestate": "a=1,b=2"}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("traceparent", "spoofed"),
        ("traceparent", PARENT + "-" + "x" * 10_000),
        ("traceparent", PARENT + "\n"),
        ("tracestate", "x=" + "y" * 10_000),
    ],
)
def test_what_is_malformed_or_too_long_stays_behind(header: str, value: str) -> None:
    call: Any = _Call((header, value))

    assert trace_headers(call) == {}
