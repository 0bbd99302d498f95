"""Puts hops together inside the gateway's process: the one place that builds local placements."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Coroutine, Iterable
from typing import Any

from tailrace.runtime.config import (
    HOP_SETTINGS,
    GatewaySettings,
    ServerSettings,
    SettingsError,
    load_settings,
)
from tailrace.runtime.hop_parts import HopParts
from tailrace.runtime.start_error import StartError


class LocalHops:
    """The hops of this process."""

    def __init__(self, parts: dict[str, HopParts[Any, Any]], poll_s: float) -> None:
        """Keeps the parts.

        Args:
            parts: by hop.
            poll_s: how often each looks for changed pipeline files, in seconds.
        """
        self.parts = parts
        self._poll_s = poll_s
        self._ready = {hop: asyncio.Event() for hop in parts}

    async def load(self) -> None:
        """Reads the pipelines."""
        for parts in self.parts.values():
            await asyncio.to_thread(parts.registry.load)

    async def reached(self) -> None:
        """Returns once each hop has been able to serve."""
        for ready in self._ready.values():
            await ready.wait()

    def jobs(self) -> Iterable[Coroutine[Any, Any, None]]:
        """Yields what has to run beside the hops."""
        for hop, parts in self.parts.items():
            yield parts.registry.watch(self._poll_s)
            if parts.watch is None:
                self._ready[hop].set()
            else:
                yield self._watch(hop, parts)

    async def close(self) -> None:
        """Gives back what the hops hold."""
        for parts in self.parts.values():
            await parts.close()

    async def _watch(self, hop: str, parts: HopParts[Any, Any]) -> None:
        async def tell(ready: bool) -> None:
            if ready:
                self._ready[hop].set()

        assert parts.watch is not None
        await parts.watch(tell)


def build_local_hops(settings: GatewaySettings, hops: Iterable[str], process: str) -> LocalHops:
    """Returns hops with their own settings from the environment, and the limits of their process.

    Args:
        settings: of the process.
        hops: which.
        process: its name, for the error.

    Raises:
        StartError: a setting of a hop cannot be used.
    """
    shared = {name: getattr(settings, name) for name in ServerSettings.model_fields}
    parts = {}
    for hop in hops:
        try:
            hop_settings = load_settings(HOP_SETTINGS[hop], **shared)
        except SettingsError as error:
            raise StartError(f"{process}: {hop} is placed here, and has {error}") from error
        # Each imports what the others need not have: redis, tritonclient, onnxruntime.
        parts[hop] = importlib.import_module(f"tailrace.{hop}.app").build(hop_settings)
    return LocalHops(parts, settings.pipelines_poll_ms / 1000)
