"""Whether the feature Redis makes events as durable as they are said to be."""

from __future__ import annotations

from typing import Any

import structlog

from tailrace.features.redis_errors import RedisRefused
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.errors import Reason, Unavailable

_STRENGTH = {"none": 0, "no": 0, "everysec": 1, "always": 2}
_SETTINGS = ("appendonly", "appendfsync", "maxmemory-policy")

_log = structlog.get_logger(__name__)


class DurabilityCheck:
    """Asks each new connection's server how it keeps what is written."""

    def __init__(self, link: RedisLink, wanted: str) -> None:
        """Keeps the parts.

        Args:
            link: to the server.
            wanted: `always`, `everysec` or `none`, as TAILRACE_EVENTS_DURABILITY says.
        """
        self._link = link
        self._wanted = wanted
        self._checked = 0

    @property
    def holds(self) -> bool:
        """Whether the connection that is there now is one that was checked."""
        return self._link.connections_made == self._checked

    def drop(self, cause: str) -> None:
        """Drops a connection whose server does not answer; the next one is checked anew."""
        self._link.reset(cause)

    async def check(self, *, anew: bool = False) -> None:
        """Returns if what is written from now on is durable.

        Args:
            anew: asks also a connection that was asked before, as a server's settings may change.

        Raises:
            Unavailable: it is not, or the server does not say, or cannot be reached.
        """
        if not anew and self._link.is_connected and self.holds:
            return
        await self._link.call("PING")
        made = self._link.connections_made
        state: dict[str, str] = {}
        refusal = ""
        try:
            replies = await self._link.call_many([("CONFIG", "GET", name) for name in _SETTINGS])
            state = {_text(reply[0]): _text(reply[1]) for reply in replies if reply}
        except RedisRefused as error:
            refusal = error.error_code
        fault = fault_of(state, refusal, self._wanted)
        if made != self._link.connections_made:
            fault = "the connection to the feature store was lost"
        if fault is not None:
            self._checked = 0
            raise Unavailable(fault, reason=Reason.FEATURE_STORE_UNAVAILABLE)
        policy = state.get("maxmemory-policy", "unknown")
        if policy != "noeviction" and made != self._checked:
            _log.warning("the feature Redis may drop windowed features", policy=policy)
        self._checked = made


def fault_of(state: dict[str, str], refusal: str, wanted: str) -> str | None:
    """Returns why a server cannot keep events as wanted, or None if it can.

    Args:
        state: its `appendonly`, `appendfsync` and `maxmemory-policy`.
        refusal: why it does not say, such as `NOPERM`; else empty.
        wanted: TAILRACE_EVENTS_DURABILITY.
    """
    if wanted == "none":
        return None
    setting = f"TAILRACE_EVENTS_DURABILITY={wanted}"
    if refusal:
        return (
            f"the feature Redis refuses CONFIG GET ({refusal}), so whether it does what {setting} "
            "needs is not known; allow that user +config|get"
        )
    if state.get("maxmemory-policy") != "noeviction":
        return (
            f"the feature Redis has maxmemory-policy {state.get('maxmemory-policy')}, and would "
            f"drop what was acknowledged; {setting} needs noeviction"
        )
    if state.get("appendonly") != "yes":
        return f"the feature Redis has appendonly no, and {setting} needs appendonly yes"
    found = state.get("appendfsync", "no")
    if _STRENGTH.get(found, 0) < _STRENGTH[wanted]:
        return (
            f"the feature Redis has appendfsync {found}, and {setting} needs appendfsync {wanted}"
        )
    return None


def _text(part: Any) -> str:
    return part.decode() if isinstance(part, bytes) else str(part)
