"""One run of a load tool, ours or ghz, and what both say of it in the same words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailrace.loadtest.bench.ghz.echo_server import EchoServer, Served
from tailrace.loadtest.bench.ghz.workloads import Workload

_SERVICE = "tailrace.loadtest.Echo"
_COUNT = re.compile(r"^\s*Count:\s+(\d+)$", re.MULTILINE)
_RATE = re.compile(r"^\s*Requests/sec:\s+([\d.]+)$", re.MULTILINE)
_OK = re.compile(r"^\s*\[OK\]\s+(\d+) responses", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Tool:
    """A load tool.

    Attributes:
        name: in figures.
        command: what begins its command line.
    """

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolRun:
    """What one run came to.

    Attributes:
        told: what the tool wrote, in the form that was asked for.
        processor_s: processor time of the tool and of all its processes, start and report included.
        resident_bytes: the largest resident memory that one of them had.
        served: what the server says.
    """

    told: str
    processor_s: float
    resident_bytes: int
    served: Served

    def summary(self) -> tuple[int, int, float]:
        """Returns calls, those of them that were answered, and the rate, from a summary."""
        found = [pattern.search(self.told) for pattern in (_COUNT, _OK, _RATE)]
        if None in found:
            raise RuntimeError(f"no summary: {self.told!r}")
        count, ok, rate = [match[1] for match in found if match is not None]
        return int(count), int(ok), float(rate)

    def document(self) -> dict[str, Any]:
        """Returns what was told as JSON."""
        document = json.loads(self.told)
        if not isinstance(document, dict):
            raise RuntimeError(f"no object: {self.told[:100]!r}")
        return document


def run_tool(
    tool: Tool,
    workload: Workload,
    flags: Sequence[str],
    echo: Path,
    proto: Path,
    waits: Path | None = None,
) -> ToolRun:
    """Calls a server of its own with a tool.

    Args:
        tool: which.
        workload: the method and how it is called.
        flags: its further flags, but for the target.
        echo: the server's program.
        proto: the file that declares its methods.
        waits: file with the time that each call takes; None for none.

    Raises:
        RuntimeError: the tool failed.
    """
    call = ["--insecure", "--proto", str(proto), "--call", f"{_SERVICE}.{workload.method}"]
    call += ["-d", workload.data, *workload.flags, *flags]
    with (
        EchoServer(echo, waits) as server,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
    ):
        command = [*tool.command, *call, server.address]
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        # Of the process and of those that it waited for, which `subprocess` does not tell.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        told = output.read()
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(
                f"{' '.join(command)} ended with {process.returncode}: {errors.read()}"
            )
    assert server.served is not None
    processor_s = usage.ru_utime + usage.ru_stime
    return ToolRun(told, processor_s, usage.ru_maxrss * 1024, server.served)
