"""A small receiver of traces over OTLP/HTTP, which can also be as bad as real ones get."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

PATH = "/v1/traces"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
_ID_FIELDS = ("traceId", "spanId", "parentSpanId")


class Mood(Enum):
    """How the receiver answers."""

    TAKES = "takes"
    HANGS = "hangs"
    UNAVAILABLE = "unavailable"
    TOO_MANY = "too many"
    FORBIDDEN = "forbidden"
    MOVED = "moved"
    REJECTS_ONE = "rejects one"
    DRIPS = "drips"
    POURS = "pours"


_STATUS = {
    Mood.UNAVAILABLE: 503,
    Mood.TOO_MANY: 429,
    Mood.FORBIDDEN: 403,
    Mood.MOVED: 301,
}


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it came.

    Attributes:
        name: its name.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_id: 16 hexadecimal digits, or empty.
        kind: such as `SERVER`.
        start_ns: since 1970.
        end_ns: since 1970.
        attributes: by name.
        resource: of the process that sent it, by name.
        status: `UNSET`, `OK` or `ERROR`.
        message: of the status.
        links: trace id and span id of each.
        flags: trace flags, its own and those of each link.
        tracestate: as it came.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    status: str
    message: str
    links: tuple[tuple[str, str], ...]
    tracestate: str
    flags: tuple[int, ...]

    @property
    def service(self) -> str:
        """The `service.name` of its process."""
        return str(self.resource.get("service.name", ""))


class OtlpReceiver:
    """Keeps what it is sent.

    Attributes:
        mood: how it answers; may be changed at any time.
        headers: of the last request, by lower-case name.
        requests: how often it was asked, by the mood that it was then in.
        connections: made to it so far.
    """

    def __init__(self, port: int = 0) -> None:
        """Listens; on a free port by default."""
        self.mood = Mood.TAKES
        self.headers: dict[str, str] = {}
        self.requests: Counter[Mood] = Counter()
        self.connections = 0
        self._spans: list[ReceivedSpan] = []
        self._news = threading.Condition()
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its base URL, as TAILRACE_TRACES_ENDPOINT takes it."""
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[ReceivedSpan]:
        """Returns what has come so far."""
        with self._news:
            return list(self._spans)

    def wait_for(self, *names: str, timeout_s: float = 20.0) -> list[ReceivedSpan]:
        """Returns all that has come once there is a span of each name; fails if there never is."""
        with self._news:
            came = self._news.wait_for(
                lambda: set(names) <= {span.name for span in self._spans}, timeout_s
            )
            assert came, f"no {set(names) - {s.name for s in self._spans}} among {self._names()}"
            return list(self._spans)

    def wait_for_count(self, count: int, timeout_s: float = 20.0) -> list[ReceivedSpan]:
        """Returns all that has come once it is so many; fails if it never is."""
        with self._news:
            came = self._news.wait_for(lambda: len(self._spans) >= count, timeout_s)
            assert came, f"{len(self._spans)} spans of {count}: {self._names()}"
            return list(self._spans)

    def wait_for_requests(self, count: int, mood: Mood, timeout_s: float = 20.0) -> None:
        """Returns once it was asked so often in a mood; fails if it never is."""
        with self._news:
            came = self._news.wait_for(lambda: self.requests[mood] >= count, timeout_s)
            assert came, f"{self.requests}"

    def close(self) -> None:
        """Ends it, and whatever hangs."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def pour(self, write: Callable[[bytes], Any]) -> None:
        """Writes an answer that has no end, in haste or drop by drop, while anybody reads it."""
        part, pause_s = (b"x" * 65_536, 0.0) if self.mood is Mood.POURS else (b"x", 0.02)
        while not self._ended.wait(pause_s):
            write(part)

    def take(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
        """Returns status and body of the answer, or None where there is none."""
        mood = self.mood
        with self._news:
            self.requests[mood] += 1
            self.headers = {name.lower(): value for name, value in headers.items()}
            self._news.notify_all()
        if mood is Mood.HANGS:
            self._ended.wait()
            return None
        if mood in _STATUS:
            return _STATUS[mood], b""
        data = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        if self.headers.get("content-type") == JSON:
            spans = list(read_request(request_of_json(data)))
        else:
            spans = list(read_request(ExportTraceServiceRequest.FromString(data)))
        answer = ExportTraceServiceResponse()
        if mood is Mood.REJECTS_ONE:
            spans.pop()
            answer.partial_success.rejected_spans = 1
            answer.partial_success.error_message = "one too many"
        with self._news:
            self._spans += spans
            self._news.notify_all()
        return 200, answer.SerializeToString()

    def _names(self) -> list[str]:
        return sorted({span.name for span in self._spans})


@contextmanager
def otlp_receiver(port: int = 0) -> Iterator[OtlpReceiver]:
    """Runs a receiver until the body is left."""
    receiver = OtlpReceiver(port)
    try:
        yield receiver
    finally:
        receiver.close()


@contextmanager
def closed_port() -> Iterator[int]:
    """Holds a port that refuses connections: it is bound, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def read_request(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    """Yields the spans of a request."""
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield _read(span, resource)


def request_of_json(text: str | bytes) -> ExportTraceServiceRequest:
    """Returns a request of OTLP's JSON form, in which ids are hexadecimal.

    Raises:
        ParseError: anything else in it is not as protobuf's own JSON form has it.
    """
    content = json.loads(text)
    for of_resource in content["resourceSpans"]:
        for of_scope in of_resource["scopeSpans"]:
            for span in of_scope["spans"]:
                for holder in (span, *span.get("links", ())):
                    _ids_to_base64(holder)
    return json_format.ParseDict(content, ExportTraceServiceRequest())


def _ids_to_base64(holder: dict[str, Any]) -> None:
    for name in _ID_FIELDS:
        if name in holder:
            holder[name] = base64.b64encode(bytes.fromhex(holder[name])).decode()


def _read(span: trace_pb2.Span, resource: Mapping[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        resource=resource,
        status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        message=span.status.message,
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        tracestate=span.trace_state,
        flags=(span.flags, *(link.flags for link in span.links)),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    pair: KeyValue
    for pair in pairs:
        found[pair.key] = _value(pair.value)
    return found


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


def _handler(receiver: OtlpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            receiver.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = receiver.take(body, dict(self.headers)) if self.path == PATH else (404, b"")
            if answer is None:
                self.close_connection = True
                return
            status, content = answer
            # Whoever asked may have gone.
            with suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                self.send_header("Content-Type", PROTOBUF)
                if receiver.mood in (Mood.DRIPS, Mood.POURS):
                    self.end_headers()
                    self.close_connection = True
                    receiver.pour(self.wfile.write)
                    return
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    return Handler
