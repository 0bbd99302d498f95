from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from tailrace.runtime.counter import Counter
from tailrace.runtime.metrics_port import MAX_CONNECTIONS, MetricsPort
from tests.support.waiting import wait_for


@pytest.fixture
def port() -> Iterator[MetricsPort]:
    registry = CollectorRegistry()
    Counter("calls_total", "Calls.", registry=registry).labels().inc(3)
    opened = MetricsPort("127.0.0.1", 0, registry, request_timeout_s=0.3, answer_timeout_s=0.3)
    yield opened
    opened.close()


def ask(port: MetricsPort, method: str, path: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port.port, timeout=5)
    try:
        connection.request(method, path, headers={"Accept-Encoding": "gzip, deflate"})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_metrics_are_at_one_path_only(port: MetricsPort) -> None:
    response, body = ask(port, "GET", "/metrics?unused=1")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert response.headers["Content-Encoding"] == "gzip"
    assert int(response.headers["Content-Length"]) == len(body) > 0
    for path in ("/", "/metrics/", "/favicon.ico", "/metricsx", "//metrics", "/../metrics"):
        response, body = ask(port, "GET", path)
        assert (response.status, body) == (404, b"the metrics are at /metrics\n")


def test_a_head_has_no_body_and_other_methods_are_refused(port: MetricsPort) -> None:
    response, body = ask(port, "HEAD", "/metrics")
    assert (response.status, body) == (200, b"")
    response, _ = ask(port, "POST", "/metrics")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "sent", [b"\0\0\r\n\r\n", b"GET /metrics\r\n\r\n", b"A" * 40_000, b"GET /metrics HTTP/1.1\r\n"]
)
def test_what_is_no_request_is_answered_or_let_go(port: MetricsPort, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port.port), timeout=5) as connection:
        connection.sendall(sent)
        answer = b""
        try:
            while data := connection.recv(4096):
                answer += data
        except ConnectionResetError:
            pass
        # Of a request that does not end, there is none.
        assert answer.startswith(b"HTTP/1.1 400 ") or not answer
    response, _ = ask(port, "GET", "/metrics")
    assert response.status == 200


def test_scrapers_that_hang_are_let_go_and_hold_few_threads(port: MetricsPort) -> None:
    hanging = [
        socket.create_connection(("127.0.0.1", port.port), timeout=5)
        for _ in range(2 * MAX_CONNECTIONS)
    ]
    try:
        for number, connection in enumerate(hanging):
            # Some say nothing; others stop in the middle; others do not read.
            connection.sendall(
                (b"", b"GET /metrics HTT", b"GET /metrics HTTP/1.1\r\n\r\n")[number % 3]
            )
        scrapes = [thread for thread in threading.enumerate() if thread.name == "scrape"]
        assert len(scrapes) <= MAX_CONNECTIONS
        response, _ = ask(port, "GET", "/metrics")
        assert response.status == 200
    finally:
        for connection in hanging:
            connection.close()
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "scrape"])


def test_however_many_say_nothing_a_scraper_is_answered() -> None:
    # Nobody is let go because time is up.
    opened = MetricsPort("127.0.0.1", 0, CollectorRegistry())
    with contextlib.ExitStack() as stack:
        stack.callback(opened.close)
        for _ in range(5 * MAX_CONNECTIONS):
            address = ("127.0.0.1", opened.port)
            stack.enter_context(contextlib.closing(socket.create_connection(address, timeout=5)))
        response, _ = ask(opened, "GET", "/metrics")
        assert response.status == 200


class _Broken(Collector):
    def collect(self) -> Iterator[Metric]:
        raise ValueError("cannot be read")


def test_a_metric_that_cannot_be_read_is_answered_with_an_error_and_told() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Broken())
    opened = MetricsPort("127.0.0.1", 0, registry)
    try:
        with capture_logs() as lines:
            response, body = ask(opened, "GET", "/metrics")
    finally:
        opened.close()
    assert (response.status, body) == (500, b"see the log of this process\n")
    assert [(line["event"], str(line["exc_info"])) for line in lines] == [
        ("metrics cannot be written", "cannot be read")
    ]


def test_close_breaks_off_whoever_hangs() -> None:
    opened = MetricsPort("127.0.0.1", 0, CollectorRegistry())
    connections = [
        socket.create_connection(("127.0.0.1", opened.port), timeout=5)
        for _ in range(MAX_CONNECTIONS + 2)
    ]
    threads = {thread for thread in threading.enumerate() if thread.name == "metrics-port"}
    opened.close()
    assert not any(thread.is_alive() for thread in threads)
    for connection in connections:
        connection.close()
    # The port is free again.
    MetricsPort("127.0.0.1", opened.port, CollectorRegistry()).close()
