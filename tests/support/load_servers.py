"""Servers for the load tool's tests: `load_protos/echo.proto`, in processes of their own.

`load_server` is one that all tests of a worker share; `start_load_server` starts others, with TLS,
say, or to be frozen or killed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
import psutil
import pytest
import trustme

from tests.support.load_messages import SERVICE, message_class
from tests.support.waiting import wait_for

_ROOT = Path(__file__).resolve().parents[2]
_STOP_S = 10.0


@dataclass(frozen=True)
class Certificates:
    """Files in PEM form.

    Attributes:
        roots: certificate of the authority that signed the others.
        cert: the server's certificate, for `localhost` and 127.0.0.1.
        key: its key.
        client_cert: a client's certificate.
        client_key: its key.
    """

    roots: Path
    cert: Path
    key: Path
    client_cert: Path
    client_key: Path


class LoadServer:
    """A running server.

    Attributes:
        target: `HOST:PORT`, or `unix:PATH`.
        certificates: of TLS; None in plaintext.
        process: the process underneath.
    """

    def __init__(
        self,
        *,
        address: str = "127.0.0.1:0",
        certificates: Certificates | None = None,
        client_auth: bool = False,
        reflection: bool = True,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Starts a server and waits until it listens.

        Args:
            address: where it listens.
            certificates: for TLS; None for plaintext.
            client_auth: clients need a certificate, too.
            reflection: it serves reflection.
            options: of gRPC's server, such as `("grpc.max_concurrent_streams", 2)`.
        """
        tls = certificates
        config = {
            "address": address,
            "cert": str(tls.cert) if tls else "",
            "key": str(tls.key) if tls else "",
            "client_roots": str(tls.roots) if tls and client_auth else "",
            "reflection": reflection,
            "options": list(options),
        }
        self.certificates = certificates
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.load_server_process", json.dumps(config)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.target = self.process.stdout.readline().strip()
        assert self.target, "the load server ended before it listened"

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.target.rpartition(":")[2])

    def freeze(self) -> None:
        """Stops it, as a debugger would: connections stand, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        stopped = psutil.Process(self.process.pid)
        wait_for(lambda: stopped.status() == psutil.STATUS_STOPPED)

    def thaw(self) -> None:
        """Lets it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it without a word to its callers."""
        self.process.kill()
        self.process.wait(_STOP_S)

    def stop(self) -> None:
        """Ends it and waits until it is gone; may be called twice."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.thaw()
            self.process.stdin.close()
        try:
            self.process.wait(_STOP_S)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()

    def seen(self) -> Any:
        """Returns what it has seen, a SeenResponse."""
        with grpc.insecure_channel(self.target) as channel:
            call = channel.unary_unary(
                f"/{SERVICE}/Seen",
                request_serializer=message_class("SeenRequest").SerializeToString,
                response_deserializer=message_class("SeenResponse").FromString,
            )
            return call(message_class("SeenRequest")(), timeout=10)


class StartLoadServer(Protocol):
    """Starts a server for one test; the arguments are `LoadServer`'s."""

    def __call__(
        self,
        *,
        address: str = "127.0.0.1:0",
        certificates: Certificates | None = None,
        client_auth: bool = False,
        reflection: bool = True,
        options: Sequence[tuple[str, Any]] = (),
    ) -> LoadServer:
        """Returns a server that listens."""


@pytest.fixture(scope="session")
def load_server() -> Iterator[LoadServer]:
    """A server in plaintext, with reflection, that all tests share."""
    server = LoadServer()
    yield server
    server.stop()


@pytest.fixture
def start_load_server() -> Iterator[StartLoadServer]:
    """Starts as many servers as a test wants; they end with it."""
    servers: list[LoadServer] = []

    def start(
        *,
        address: str = "127.0.0.1:0",
        certificates: Certificates | None = None,
        client_auth: bool = False,
        reflection: bool = True,
        options: Sequence[tuple[str, Any]] = (),
    ) -> LoadServer:
        server = LoadServer(
            address=address,
            certificates=certificates,
            client_auth=client_auth,
            reflection=reflection,
            options=options,
        )
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of an authority of their own."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def make_certificates(folder: Path) -> Certificates:
    """Writes certificates of an authority of their own into a folder."""
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    client = authority.issue_cert("client.test")
    made = Certificates(
        *(folder / f"{name}.pem" for name in ("roots", "cert", "key", "client_cert", "client_key"))
    )
    authority.cert_pem.write_to_path(str(made.roots))
    for issued, cert, key in (
        (server, made.cert, made.key),
        (client, made.client_cert, made.client_key),
    ):
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
    return made
