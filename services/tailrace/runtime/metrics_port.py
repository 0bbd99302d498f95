"""The port that Prometheus reads: few connections at a time, each for a short time only."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from http import HTTPStatus

import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from tailrace.runtime.exposition import expose

PATH = "/metrics"
# Others wait in the kernel until one of these is over, or sends no request.
MAX_CONNECTIONS = 4
BACKLOG = 16
# One that has sent no whole request for so long gives way to others: however many connect and say
# nothing, a scraper, who speaks at once, has its turn.
GIVES_WAY_S = 0.005
MAX_REQUEST_BYTES = 16 * 1024
# For a whole request to arrive, and for a whole answer to be taken.
REQUEST_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
# For the scraper to close the connection, once it has its answer.
CLOSE_TIMEOUT_S = 1.0

_log = structlog.get_logger(__name__)


class MetricsPort:
    """The HTTP port that serves the metrics of this process, from threads of its own.

    Attributes:
        port: where it listens.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry = REGISTRY,
        *,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        """Starts to listen.

        Args:
            host: address, or name.
            port: 0 for a free one.
            registry: the metrics.
            request_timeout_s: for a whole request to arrive.
            answer_timeout_s: for a whole answer to be taken.

        Raises:
            OSError: the port is in use.
        """
        self._registry = registry
        self._request_timeout_s = request_timeout_s
        self._answer_timeout_s = answer_timeout_s
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self._listener = socket.create_server(
            family[0][4][:2], family=family[0][0], backlog=BACKLOG
        )
        self.port: int = self._listener.getsockname()[1]
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        # One text at a time, for however many scrapers.
        self._writing = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        # Those of them that have sent no whole request, in the order in which they came.
        self._silent: dict[socket.socket, None] = {}
        self._changing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="metrics-port", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening, and breaks off what is being answered."""
        with self._changing:
            self._closed = True
            threads = list(self._open.values())
            for connection in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in (self._thread, *threads):
            thread.join()

    def _accept(self) -> None:
        with self._listener:
            while True:
                self._take_slot()
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    if self._closed:
                        return
                    # Such as no file descriptors: they may come back.
                    self._slots.release()
                    time.sleep(0.1)
                    continue
                thread = threading.Thread(
                    target=self._serve, args=(connection,), name="scrape", daemon=True
                )
                with self._changing:
                    if self._closed:
                        connection.close()
                        return
                    self._open[connection] = thread
                    self._silent[connection] = None
                    try:
                        thread.start()
                    except RuntimeError:  # no more threads at the moment
                        del self._open[connection], self._silent[connection]
                        connection.close()
                        self._slots.release()

    def _take_slot(self) -> None:
        if self._slots.acquire(blocking=False):
            return
        # While all are taken, the next one is waited for, so that none is broken off for nobody.
        others = select.poll()
        others.register(self._listener, select.POLLIN)
        others.poll()
        while not self._slots.acquire(timeout=GIVES_WAY_S):
            with self._changing:
                longest = next(iter(self._silent), None)
                if longest is not None:
                    del self._silent[longest]
                    with contextlib.suppress(OSError):
                        longest.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket) -> None:
        try:
            # Whoever is too slow, or gone, is not answered.
            with connection, contextlib.suppress(OSError):
                self._answer(connection)
        finally:
            with self._changing:
                del self._open[connection]
                self._silent.pop(connection, None)
            self._slots.release()

    def _answer(self, connection: socket.socket) -> None:
        head = self._read_head(connection)
        with self._changing:
            self._silent.pop(connection, None)
        connection.settimeout(self._answer_timeout_s)
        connection.sendall(self._response(head))
        # Else what came after the head would make the kernel discard the answer.
        connection.shutdown(socket.SHUT_WR)
        self._drain(connection)

    def _read_head(self, connection: socket.socket) -> bytes:
        """Returns a request as far as its empty line. Raises TimeoutError if it takes too long."""
        latest_s = time.monotonic() + self._request_timeout_s
        data = b""
        while b"\r\n\r\n" not in data and len(data) <= MAX_REQUEST_BYTES:
            connection.settimeout(max(latest_s - time.monotonic(), 0.001))
            received = connection.recv(4096)
            if not received:
                break
            data += received
        return data.partition(b"\r\n\r\n")[0]

    def _drain(self, connection: socket.socket) -> None:
        latest_s = time.monotonic() + CLOSE_TIMEOUT_S
        while (left_s := latest_s - time.monotonic()) > 0:
            connection.settimeout(left_s)
            if not connection.recv(4096):
                return

    def _response(self, head: bytes) -> bytes:
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/") or len(head) > MAX_REQUEST_BYTES:
            return _response(HTTPStatus.BAD_REQUEST, "this port speaks HTTP/1.1\n")
        method, target, _ = words
        if target.partition("?")[0] != PATH:
            return _response(HTTPStatus.NOT_FOUND, f"the metrics are at {PATH}\n")
        if method not in ("GET", "HEAD"):
            text = f"{PATH} can be read only\n"
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, text, {"Allow": "GET, HEAD"})
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        try:
            with self._writing:
                answer = expose(
                    self._registry, headers.get("accept", ""), headers.get("accept-encoding", "")
                )
        except Exception as error:  # a collector's: the scraper is to see that it is our fault
            _log.error("metrics cannot be written", exc_info=error)
            return _response(HTTPStatus.INTERNAL_SERVER_ERROR, "see the log of this process\n")
        more = {"Content-Type": answer.content_type}
        if answer.encoding:
            more["Content-Encoding"] = answer.encoding
        whole = _head(HTTPStatus.OK, len(answer.body), more)
        return whole if method == "HEAD" else whole + answer.body


def _response(status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> bytes:
    body = text.encode()
    more = {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}
    return _head(status, len(body), more) + body


def _head(status: HTTPStatus, length: int, headers: dict[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Content-Length: {length}",
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
