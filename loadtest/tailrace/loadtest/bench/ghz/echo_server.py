"""The server that both tools call."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_ENDS_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Served:
    """What a server did while it ran.

    Attributes:
        calls: that reached it.
        messages: it read.
        processor_s: processor time of the process, its start included.
    """

    calls: int
    messages: int
    processor_s: float


class EchoServer:
    """A process of `loadtest/interop/echo`, on a port of its own, for as long as the context."""

    def __init__(self, program: Path, waits: Path | None = None) -> None:
        """Names what is run.

        Args:
            program: the server.
            waits: file with the time that each call takes, in nanoseconds; None for none.
        """
        self._command = [str(program), *(["-waits", str(waits)] if waits else [])]
        self.served: Served | None = None

    def __enter__(self) -> Self:
        """Starts it, and waits for its address."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        if not self.address:
            raise RuntimeError(f"{self._command[0]} ended with {self._process.wait()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it, and takes what it says about itself into `served`."""
        self._process.terminate()
        told, _ = self._process.communicate(timeout=_ENDS_WITHIN_S)
        usage = json.loads(told)
        self.served = Served(usage["calls"], usage["messages"], usage["processor_seconds"])
