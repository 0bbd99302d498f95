"""What can go wrong while servers are started on this machine, each with what to do about it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from tailrace.cli.local.log_excerpt import telling_lines


class LaunchError(Exception):
    """Base of all errors of starting, watching and stopping local servers.

    Attributes:
        excerpt: the part of a log that belongs to the error; often empty.
    """

    excerpt = ""

    @property
    def sentence(self) -> str:
        """What went wrong, without the excerpt."""
        return super().__str__()

    def __str__(self) -> str:
        """Returns the excerpt, and after it, where nobody misses it, what went wrong."""
        return f"{self.excerpt}\n{self.sentence}" if self.excerpt else self.sentence


class ServerMissing(LaunchError):
    """A server or something it cannot do without was not found on this machine.

    Attributes:
        what: what is missing, such as `redis-server`.
        searched: the places that were looked at, in order.
        remedy: what the user can do about it.
    """

    def __init__(self, what: str, *, searched: Sequence[str], remedy: str) -> None:
        """Keeps the fields and builds the message from them."""
        self.what = what
        self.searched = tuple(searched)
        self.remedy = remedy
        places = "; ".join(self.searched)
        super().__init__(f"{what} was not found (searched: {places}). {remedy}")


class ServerTooOld(LaunchError):
    """A server was found and is older than what Tailrace needs.

    Attributes:
        server: name of the server.
        found: its version.
        needed: the oldest version that will do.
    """

    def __init__(self, server: str, *, found: str, needed: str, path: Path) -> None:
        """Keeps the fields and builds the message from them."""
        self.server = server
        self.found = found
        self.needed = needed
        super().__init__(
            f"{server} {found} at {path} is too old: {needed} or later is needed. "
            "Name another one in the settings, or remove it from PATH so that the wheel's is used."
        )


class PortInUse(LaunchError):
    """Another process already listens on a port that a server was told to take.

    Attributes:
        server: name of the server that wanted the port.
        host: address it wanted to listen on.
        port: the port.
        holder: who has it, such as `redis-server, pid 4711`; empty where that is not known.
    """

    def __init__(self, server: str, *, host: str, port: int, holder: str = "") -> None:
        """Keeps the fields and builds the message from them."""
        self.server = server
        self.host = host
        self.port = port
        self.holder = holder
        by = f" by {holder}" if holder else " by another process"
        super().__init__(
            f"{server} cannot listen on {host}:{port}: the port is in use{by}. "
            "Stop that process, choose another port, or pass 0 to take a free one."
        )


class ProcessExited(LaunchError):
    """A process ended while it was needed.

    Attributes:
        process: name of the process.
        exit_status: its exit code, or minus the number of the signal that ended it.
        log_path: file with its output.
        last_lines: the end of that output.
    """

    def __init__(
        self, process: str, *, exit_status: int, log_path: Path, last_lines: Sequence[str]
    ) -> None:
        """Keeps the fields and builds the message from them."""
        self.process = process
        self.exit_status = exit_status
        self.log_path = log_path
        self.last_lines = tuple(last_lines)
        self.excerpt = _excerpt(log_path, self.last_lines)
        super().__init__(f"{process} {_ending(exit_status)}; {_log(log_path, self.last_lines)}")


class NotReady(LaunchError):
    """A process runs and did not become ready in time.

    Attributes:
        process: name of the process.
        waiting_for: the condition that did not come true.
        timeout_s: how long it was waited for, in seconds.
        log_path: file with its output.
        last_lines: the end of that output.
    """

    def __init__(
        self,
        process: str,
        *,
        waiting_for: str,
        timeout_s: float,
        log_path: Path,
        last_lines: Sequence[str],
    ) -> None:
        """Keeps the fields and builds the message from them."""
        self.process = process
        self.waiting_for = waiting_for
        self.timeout_s = timeout_s
        self.log_path = log_path
        self.last_lines = tuple(last_lines)
        self.excerpt = _excerpt(log_path, self.last_lines)
        super().__init__(
            f"{process} was not ready within {timeout_s:g} s (waiting for {waiting_for}); "
            + _log(log_path, self.last_lines)
        )


def _ending(exit_status: int) -> str:
    if exit_status >= 0:
        return f"ended with status {exit_status}"
    try:
        return f"was killed by {signal.Signals(-exit_status).name}"
    except ValueError:  # real-time signals have no names
        return f"was killed by signal {-exit_status}"


def _excerpt(log_path: Path, lines: Sequence[str]) -> str:
    quoted = [f"  | {line}" for line in telling_lines(lines)]
    return "\n".join([f"from {log_path}:", *quoted]) if quoted else ""


def _log(log_path: Path, lines: Sequence[str]) -> str:
    return f"its log is {log_path}" if lines else f"it wrote nothing to {log_path}"
