"""`tailrace health`: asks one process whether it can serve, as a container's health check does."""

from __future__ import annotations

import asyncio

from tailrace.cli.health import SERVING, ask_health_at
from tailrace.cli.local.errors import LaunchError
from tailrace.runtime.config import ServerSettings, load_settings

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def check_health(target: str | None) -> int:
    """Prints what the process says of itself; returns 0 if that is SERVING, else 1.

    Args:
        target: where it listens, as `host:port`; None for where a process with these settings
            would, on this machine.

    Raises:
        SettingsError: the environment has settings that cannot be used.
        LaunchError: there is no target, and no port in the settings.
    """
    settings = load_settings(ServerSettings)
    state = asyncio.run(ask_health_at(target or _own_target(settings), settings))
    print(state)
    return 0 if state == SERVING else 1


def _own_target(settings: ServerSettings) -> str:
    if settings.port == 0:
        raise LaunchError("name where the process listens, or set TAILRACE_PORT")
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
