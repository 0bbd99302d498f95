"""Sends spans to an OTLP/HTTP receiver. The only module that imports OpenTelemetry's SDK.

The exporter of the SDK sends: it has the standard OTEL_EXPORTER_OTLP_… variables for headers,
certificates, compression and timeout, and tries again what may be tried again. Its own form of
spans is left out, as to make and to encode that took 62 us a span of CPU, and the message itself
takes 14. There is no public way to hand a message to it: what is used of its inside goes with the
version that `pyproject.toml` names.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3
from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tailrace.runtime.tracing.otlp_json import ERROR_STATUS, failure_attributes, is_error
from tailrace.runtime.tracing.resource import SCOPE, version
from tailrace.runtime.tracing.span import AttributeValue, Span
from tailrace.runtime.tracing.span_exporter import Exported

PATH = "/v1/traces"

MAX_ANSWER_BYTES = 65_536
"""Most that is read of an answer; what a receiver has to say is a number and a sentence."""
_MAX_PROBLEM = 256

_CHATTY = ("opentelemetry", "urllib3")


class OtlpHttpExporter:
    """Sends to a receiver. A `SpanExporter`.

    Attributes:
        target: the receiver's URL, without name and password.
    """

    def __init__(self, endpoint: str, resource: Mapping[str, AttributeValue]) -> None:
        """Opens nothing yet; the first export connects.

        Args:
            endpoint: base URL of the receiver, such as `http://127.0.0.1:4318`.
            resource: what spans say of this process.
        """
        base = endpoint.rstrip("/")
        url = base if base.endswith(PATH) else f"{base}{PATH}"
        parts = urlsplit(url)
        # A password may be in it, and this goes into the log.
        self.target = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self._words = _LastWords()
        for name in _CHATTY:
            self._words.listen_to(logging.getLogger(name))
        session = requests.Session()
        # Left to the library, an answer is read to its end, however long that takes or it is.
        session.stream = True
        self._exporter: Any = OTLPSpanExporter(endpoint=url, session=session)
        self._client: Any = self._exporter._client
        self._transport = _KeptAnswer.of(self._client)
        self._resource = [_pair(name, value) for name, value in resource.items()]

    def export(self, spans: Iterable[Span], count: int, offset_ns: int) -> Exported:
        """Returns what became of the spans. See `SpanExporter.export`."""
        request = ExportTraceServiceRequest()
        of_resource = request.resource_spans.add()
        of_resource.resource.attributes.extend(self._resource)
        of_scope = of_resource.scope_spans.add()
        of_scope.scope.name, of_scope.scope.version = SCOPE, version()
        problem = ""
        for span in spans:
            try:
                of_scope.spans.append(span_message(span, offset_ns))
            except (TypeError, ValueError) as error:
                problem = f"the span {span.name!r} cannot be written as a message: {error}"
        unwritten = count - len(of_scope.spans)
        self._words.text = ""
        result = self._client.export(request.SerializeToString())
        # The exporter takes a redirection for success, and follows none.
        status = result.status_code
        if not result.success or status is None or not 200 <= status < 300:
            return Exported(count, _why(result, self._words.text))
        refused = self._transport.refused()
        problem = refused.error_message or problem
        return Exported(min(count, unwritten + refused.rejected_spans), problem)

    def abandon(self) -> None:
        """Ends the wait between attempts. See `SpanExporter.abandon`."""
        self._exporter.shutdown()

    def close(self) -> None:
        """Closes its connections."""
        self._exporter.shutdown()


def span_message(span: Span, offset_ns: int) -> trace_pb2.Span:
    """Returns a span as a message.

    Args:
        span: the span.
        offset_ns: from the monotonic clock to nanoseconds since 1970.

    Raises:
        TypeError, ValueError: an attribute is nothing that has a place in it.
    """
    context = span.context
    message = trace_pb2.Span(
        trace_id=bytes.fromhex(context.trace_id),
        span_id=bytes.fromhex(context.span_id),
        parent_span_id=bytes.fromhex(context.parent_id),
        trace_state=context.tracestate,
        name=span.name,
        kind=span.kind.value + 1,  # type: ignore[arg-type]  # their order is the same
        start_time_unix_nano=span.start_ns + offset_ns,
        end_time_unix_nano=span.end_ns + offset_ns,
        flags=context.flags,
    )
    add = message.attributes.add
    for name, value in span.attributes.items():
        # Faster than to name it in the call.
        pair = add()
        pair.key = name
        _set(pair.value, value)
    for link in span.links:
        message.links.add(
            trace_id=bytes.fromhex(link.trace_id),
            span_id=bytes.fromhex(link.span_id),
            trace_state=link.tracestate,
            flags=link.flags,
        )
    if is_error(span):
        message.status.code = ERROR_STATUS  # type: ignore[assignment]  # the enum's number
        message.status.message = span.message
    for name, value in failure_attributes(span).items():
        _set(add(key=name).value, value)
    return message


def _pair(name: str, value: AttributeValue) -> KeyValue:
    pair = KeyValue(key=name)
    _set(pair.value, value)
    return pair


def _set(target: AnyValue, value: AttributeValue) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    else:
        values: Sequence[str | int] = value
        target.array_value.SetInParent()
        for each in values:
            _set(target.array_value.values.add(), each)


def _why(result: Any, words: str) -> str:
    if result.status_code is not None:
        return f"HTTP {result.status_code} {result.reason or ''}".rstrip()
    return str(result.error or words or "no answer")[:_MAX_PROBLEM]


def _beginning(answer: requests.Response, until_s: float) -> bytes:
    """Returns what can be had of an answer's body by then; its status says what became of it."""
    body = b""
    # One that has been read to its end leaves its connection open.
    with answer:
        try:
            while len(body) < MAX_ANSWER_BYTES and time.monotonic() < until_s:
                part = answer.raw.read1(MAX_ANSWER_BYTES - len(body), decode_content=True)
                if not part:
                    break
                body += part
        except (urllib3.exceptions.HTTPError, OSError):
            return b""
    return body


class _KeptAnswer:
    """Keeps the body of the last answer, which may refuse some of the spans."""

    def __init__(self, transport: Any, most_s: float) -> None:
        self._transport = transport
        self._most_s = most_s
        self._body = b""

    @classmethod
    def of(cls, client: Any) -> _KeptAnswer:
        """Returns what stands before a client's transport from now on."""
        kept = client._transport = cls(client._transport, client._timeout)
        return kept

    def request(self, *args: Any, **options: Any) -> Any:
        # The library reckons by the wall clock, which may be set back meanwhile.
        timeout_s = min(options["timeout"], self._most_s)
        until_s = time.monotonic() + timeout_s
        result = self._transport.request(*args, **{**options, "timeout": timeout_s})
        self._body = b"" if result.response is None else _beginning(result.response, until_s)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def refused(self) -> Any:
        """Returns what the last answer says of spans that were not taken."""
        try:
            return ExportTraceServiceResponse.FromString(self._body).partial_success
        except DecodeError:
            # It was taken; some answer with a page or a word of their own.
            return ExportTraceServiceResponse().partial_success


class _LastWords(logging.Handler):
    """Keeps what libraries say last, in place of standard error, which they would write to."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def listen_to(self, logger: logging.Logger) -> None:
        """Takes all that a logger, and those below it, have to say."""
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()
