"""Who takes telemetry in `make bench-telemetry`, or lets it hang."""

from __future__ import annotations

import http.client
import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tailrace.loadtest.bench.telemetry_counterparts import Ports, Scrapes
from tailrace.loadtest.bench.unread_pipe import UnreadPipe

MODULE = "tailrace.loadtest.bench.telemetry_counterparts"


@pytest.fixture
def counterparts() -> Iterator[tuple[subprocess.Popen[bytes], Ports]]:
    with subprocess.Popen(
        [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        yield process, Ports(**json.loads(process.stdout.readline()))
        process.communicate(timeout=10)
        assert process.returncode == 0


def scrape(process: subprocess.Popen[bytes], scrapes: Scrapes) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(scrapes)).encode() + b"\n")
    process.stdin.flush()


def test_spans_are_taken_request_after_request_on_one_connection(
    counterparts: tuple[subprocess.Popen[bytes], Ports],
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", counterparts[1].takes, timeout=10)
    for size in (0, 100_000):
        connection.request("POST", "/v1/traces", body=b"x" * size)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
    connection.close()


@pytest.mark.parametrize("name", ["hangs", "logs"])
def test_what_hangs_takes_connections_and_no_more_than_the_kernel_does(
    counterparts: tuple[subprocess.Popen[bytes], Ports], name: str
) -> None:
    with socket.create_connection(("127.0.0.1", getattr(counterparts[1], name)), 10) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                connection.sendall(b"x" * 1_000_000)


def test_processes_are_scraped_as_prometheus_does_and_stuck_scrapers_do_not_read(
    counterparts: tuple[subprocess.Popen[bytes], Ports],
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as own,
        socket.create_server(("127.0.0.1", 0)) as stuck,
    ):
        ports = [each.getsockname()[1] for each in (own, stuck)]
        scrape(counterparts[0], Scrapes(every_s=[(0.05, ports[:1])], stuck=ports[1:]))
        for _ in range(2):
            scraper, _ = own.accept()
            with scraper:
                head = scraper.recv(4096)
                assert head.startswith(b"GET /metrics HTTP/1.1\r\n")
                assert b"openmetrics" in head
                scraper.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        scraper, _ = stuck.accept()
        with scraper:
            assert scraper.recv(4096).startswith(b"GET /metrics HTTP/1.1\r\n")
            scraper.settimeout(0.2)
            with pytest.raises(TimeoutError):
                while True:
                    scraper.sendall(b"x" * 1_000_000)


def test_a_full_pipe_takes_nothing_until_it_is_read(tmp_path: Path) -> None:
    with UnreadPipe(tmp_path / "pipe") as pipe:
        assert pipe.fill() >= 4096
        with pipe.path.open("wb", buffering=0) as writer:
            assert not select.select([], [writer], [], 0)[1]
            assert set(pipe.read()) == {ord("\n")}
            assert select.select([], [writer], [], 0)[1]
            writer.write(b"line\n")
        assert pipe.read() == b"line\n"
