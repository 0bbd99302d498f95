"""How a report asks a Prometheus that is behind something else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tailrace.cli.slo.prometheus_api import PrometheusApi
from tailrace.cli.slo.rendering import SloFailed


class Server:
    """An HTTP server on loopback that notes what it is asked.

    Attributes:
        seen: path, without the query, and the header `Authorization` of each call.
        answer: status, headers and body of its answers.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        value = {"result": [{"metric": {}, "value": [0, "7"]}]}
        self.answer: tuple[int, dict[str, str], str] = 200, {}, json.dumps({"data": value})
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.seen.append((self.path.partition("?")[0], self.headers["Authorization"]))
                status, headers, body = server.answer
                self.send_response(status)
                for name, text in headers.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    # Whatever proxy the environment names has no business here.
    monkeypatch.setenv("no_proxy", "*")
    both = Server(), Server()
    yield both
    for server in both:
        server.stop()


def test_a_path_in_front_and_a_password_go_with_each_call(servers: tuple[Server, Server]) -> None:
    server, _ = servers
    api = PrometheusApi(f"http://me:se%3Acret@{server.address}/behind/")

    assert api.value("up", 0) == 7
    assert api.url == f"http://{server.address}/behind"
    # Of `me:se:cret`.
    assert server.seen == [("/behind/api/v1/query", "Basic bWU6c2U6Y3JldA==")]


def test_a_password_is_not_told_to_another_server(servers: tuple[Server, Server]) -> None:
    first, second = servers
    first.answer = 302, {"Location": f"http://{second.address}/login"}, ""

    PrometheusApi(f"http://me:secret@{first.address}").value("up", 0)

    assert second.seen == [("/login", None)]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "<html>Sign in</html>", "is no Prometheus"),
        (200, "[]", "is no Prometheus"),
        (401, "who are you?", "answers 401 to query: who are you?"),
    ],
)
def test_other_answers_are_told(
    servers: tuple[Server, Server], status: int, body: str, said: str
) -> None:
    server, _ = servers
    server.answer = status, {}, body

    with pytest.raises(SloFailed, match=said.replace("?", "[?]")):
        PrometheusApi(f"http://{server.address}").value("up", 0)
