"""What the queue Redis makes durable, found out from the server itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WAITAOF_SINCE = (7, 2)
_STRENGTH = {"none": 0, "everysec": 1, "always": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """What a Redis server says of itself.

    Attributes:
        memory_policy: `maxmemory-policy`.
        append_only: whether it keeps a log of writes.
        append_fsync: `appendfsync`, or None where the server does not tell.
        refusal: why it does not tell, such as `NOPERM`; else empty.
    """

    version: str
    memory_policy: str
    append_only: bool
    append_fsync: str | None
    refusal: str = ""

    @property
    def durability(self) -> str:
        """`always`, `everysec` or `none`; `unknown` where the server does not tell."""
        if not self.append_only:
            return "none"
        if self.append_fsync is None:
            return "unknown"
        return self.append_fsync if self.append_fsync in _STRENGTH else "none"


def fault_of(server: ServerState, wanted: str) -> str | None:
    """Returns why a server cannot hold the queue, or None if it can.

    Args:
        server: what it says of itself.
        wanted: TAILRACE_QUEUE_DURABILITY.
    """
    if server.memory_policy != "noeviction":
        return (
            f"the queue Redis has maxmemory-policy {server.memory_policy}, and would drop what was "
            "acknowledged; it has to be noeviction"
        )
    setting = f"TAILRACE_QUEUE_DURABILITY={wanted}"
    found = server.durability
    if wanted == "none":
        return None
    if not server.append_only:
        return f"the queue Redis has appendonly no, and {setting} needs appendonly yes"
    if wanted == "waitaof":
        if _version(server.version) < _WAITAOF_SINCE:
            return f"the queue Redis has version {server.version}, and {setting} needs 7.2"
        return None
    if found == "unknown":
        return (
            f"the queue Redis refuses CONFIG GET ({server.refusal}), so whether it does what "
            f"{setting} needs is not known; allow that user +config|get"
        )
    if _STRENGTH[found] < _STRENGTH[wanted]:
        return (
            f"the queue Redis has appendfsync {server.append_fsync}, and {setting} needs "
            f"appendfsync {wanted}"
        )
    return None


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
