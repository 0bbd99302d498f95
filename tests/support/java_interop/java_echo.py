"""A process of `loadtest/interop/echo-java`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tailrace.loadtest.method.call_name import CallName
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.method.proto_files import method_of_proto
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.wire.channel import Channel
from tests.support.load_servers import Certificates
from tests.support.wire_calls import WireCalls

PROTO = Path(__file__).parents[3] / "loadtest/interop/echo/echo.proto"
SERVICE = "tailrace.loadtest.Echo"
_ENDS_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """What the server says as it ends.

    Attributes:
        calls: that reached it.
        messages: it read.
        connections: made to it.
        processor_s: processor time of the process, its start included.
    """

    calls: int
    messages: int
    connections: int
    processor_s: float


class JavaEcho:
    """A running server.

    Attributes:
        target: `HOST:PORT`.
        roots: certificate that its own is checked against; None in plaintext.
    """

    def __init__(self, jar: Path, certificates: Certificates | None, **flags: object) -> None:
        """Starts it, and waits until it listens.

        Args:
            jar: the server.
            certificates: for TLS; None for plaintext.
            flags: its other flags, such as `max_streams`.

        Raises:
            RuntimeError: it ended instead.
        """
        if certificates is not None:
            flags |= {"cert": certificates.cert, "key": _as_pkcs8(certificates.key)}
        self.roots = None if certificates is None else certificates.roots
        command = ["java", "-jar", str(jar), *(f"{name}={value}" for name, value in flags.items())]
        # It writes a stack trace for each call that it refuses.
        with jar.with_suffix(".log").open("a") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        self.target = self._process.stdout.readline().strip()
        if not self.target:
            raise RuntimeError(f"the server ended with {self._process.wait()}: see {log.name}")

    def end(self) -> Served:
        """Ends it, and returns what it says about itself."""
        try:
            told, _ = self._process.communicate(timeout=_ENDS_WITHIN_S)
        finally:
            self._process.kill()
            self._process.wait()
        usage = json.loads(told)
        return Served(
            usage["calls"], usage["messages"], usage["connections"], usage["processor_seconds"]
        )

    @property
    def flags(self) -> list[str]:
        """Flags with which both tools connect to it."""
        return ["--insecure"] if self.roots is None else ["--cacert", str(self.roots)]

    @contextmanager
    def wire(self, method: str, *, connections: int = 1, **options: object) -> Iterator[WireCalls]:
        """The load tool's own wire, connected; `options` are those of `LoadOptions`."""
        spec = _spec(method)
        asked = LoadOptions(
            host=self.target,
            call=spec.path,
            insecure=self.roots is None,
            cacert=self.roots,
            **{"timeout": 20.0, **options},  # type: ignore[arg-type]
        )
        channel = Channel(asked, spec, connections=connections, keep_responses=True)
        calls = WireCalls(channel, asked)
        try:
            channel.connect()
            yield calls
        finally:
            channel.close()


def _as_pkcs8(key: Path) -> Path:
    """Returns a file beside it with the same key in the only form that Java reads."""
    read = load_pem_private_key(key.read_bytes(), password=None)
    written = key.with_suffix(".pkcs8")
    written.write_bytes(read.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return written


@cache
def _spec(method: str) -> MethodSpec:
    return method_of_proto(CallName(SERVICE, method), PROTO, ())
