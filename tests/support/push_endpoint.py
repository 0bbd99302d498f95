"""A webhook endpoint for real couriers, which keeps what it was sent."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tailrace.cli.local.ports import LOOPBACK


@dataclass(frozen=True)
class Push:
    """One request.

    Attributes:
        path: such as `/well`.
        headers: by lower-case name.
        body: as sent.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes


class PushEndpoint:
    """Takes what is pushed to `/well`, and refuses what is pushed elsewhere.

    Attributes:
        pushes: what came, oldest first.
        port: where it listens on loopback.
    """

    def __init__(self) -> None:
        """Listens on a free port."""
        self.pushes: list[Push] = []
        self.server = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        self.port = int(self.server.server_port)

    def url(self, name: str) -> str:
        """Returns where a callback of a name is to push to."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def pushed(self, prediction_id: str) -> list[Push]:
        """Returns the pushes that name a prediction."""
        return [push for push in list(self.pushes) if prediction_id.encode() in push.body]


@contextlib.contextmanager
def push_endpoint() -> Iterator[PushEndpoint]:
    """Runs one on a thread of its own."""
    endpoint = PushEndpoint()
    with endpoint.server:
        thread = threading.Thread(target=endpoint.server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield endpoint
        finally:
            endpoint.server.shutdown()
            thread.join()


def _handler(endpoint: PushEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            endpoint.pushes.append(Push(self.path, headers, body))
            self.send_response(204 if self.path == "/well" else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    return Handler
