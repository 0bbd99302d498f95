"""Whole runs of `tailrace load` against a server of grpc-java, and of ghz beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.java_interop.java_echo import PROTO, SERVICE, JavaEcho
from tests.support.load_servers import Certificates

OURS = (sys.executable, "-m", "tailrace.loadtest", "--progress", "off")
_DATA = '"aGVsbG8sIHdobyBpcyB0aGVyZT8="'
_RUN_S = 60.0
_STREAM = ("--stream-call-count", "5")


def report(tool: Sequence[str], server: JavaEcho, method: str, flags: Sequence[str]) -> Any:
    """Returns a tool's JSON report.

    Raises:
        RuntimeError: it has none.
    """
    command = [*tool, *server.flags, "--proto", str(PROTO), "--call", f"{SERVICE}.{method}"]
    command += ["-d", _DATA, "-O", "json", *flags, server.target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_S, check=False)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"{tool[0]} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def every_call_is_counted(jar: Path, tls: Certificates | None) -> None:
    """So many calls are made, answered and reported as reach the server."""
    for method, calls in (("Say", 20_000), ("Collect", 4000), ("Repeat", 4000), ("Chat", 4000)):
        server = JavaEcho(jar, tls)
        flags = ["-n", str(calls), "-c", "50", "--connections", "4"]
        flags += _STREAM if method in ("Collect", "Chat") else ()
        told = report(OURS, server, method, flags)
        served = server.end()
        if told["statusCodeDistribution"] != {"OK": calls} or served.calls != calls:
            raise AssertionError(f"{method}: {told['statusCodeDistribution']}, {served}")


def connections_may_end_of_age(jar: Path, tls: Certificates | None) -> None:
    """The server gives up connections after a third of a second (GOAWAY): no call is lost."""
    for method, flags in (("Say", ()), ("Chat", (*_STREAM, "--stream-interval", "20ms"))):
        server = JavaEcho(jar, tls, max_age_ms=300)
        told = report(
            OURS,
            server,
            method,
            ["--async", "-r", "300", "-n", "900", "--connections", "2", *flags],
        )
        served = server.end()
        if told["statusCodeDistribution"] != {"OK": 900} or served.calls != 900:
            raise AssertionError(f"{method}: {told['statusCodeDistribution']}, {served}")
        if served.connections < 4:
            raise AssertionError(f"{method}: {served.connections} connections: none was given up")


def rates(jar: Path, ghz: Path, tls: Certificates | None, rounds: int) -> dict[str, list[float]]:
    """Returns calls a second as `TOOL, METHOD`, a warm server for both tools, in turn.

    Args:
        jar: the server.
        ghz: ghz 0.121.
        tls: certificates; None for plaintext.
        rounds: runs of each.
    """
    tools = {"tailrace": OURS, "ghz": (str(ghz),)}
    found: dict[str, list[float]] = {}
    server = JavaEcho(jar, tls)
    for method, flags in (("Say", ()), ("Chat", _STREAM)):
        flags = ("-c", "128", "--connections", "8", "--duration-stop", "wait", *flags)
        # The compiler of Java makes up its mind first.
        report(OURS, server, method, ["-z", "3s", *flags])
        for place in range(rounds):
            for name in tools if place % 2 else reversed(tools):
                told = report(tools[name], server, method, ["-z", "2s", *flags])
                if told["statusCodeDistribution"] != {"OK": told["count"]}:
                    raise AssertionError(f"{name}, {method}: {told['statusCodeDistribution']}")
                found.setdefault(f"{name}, {method}", []).append(told["rps"])
    server.end()
    return found
