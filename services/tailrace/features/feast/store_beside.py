"""A feature store of two: our own Redis, and the one that Feast writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from tailrace.features.feast.feast_rows import FeastRead
from tailrace.features.store import FeatureStore, ViewRead, ViewRows
from tailrace.runtime.errors import Unavailable
from tailrace.runtime.tracing.trace_context import TraceContext

_log = structlog.get_logger(__name__)


class StoreBeside:
    """Reads both stores at the same time. See `FeatureStore`."""

    def __init__(self, own: FeatureStore, feast: FeatureStore) -> None:
        """Keeps the stores.

        Args:
            own: everything but the views of Feast.
            feast: the views of Feast.
        """
        self._own = own
        self._feast = feast
        self._feast_answered = True

    async def read(
        self, wanted: Sequence[ViewRead], trace: TraceContext | None = None
    ) -> list[ViewRows]:
        """Returns the rows of every view. See `FeatureStore.read`."""
        is_feast = [isinstance(read, FeastRead) for read in wanted]
        if not any(is_feast):
            return await self._own.read(wanted, trace)
        if all(is_feast):
            return await self._feast.read(wanted, trace)
        own, feast = await asyncio.gather(
            self._own.read(
                [read for read, other in zip(wanted, is_feast, strict=True) if not other], trace
            ),
            self._feast.read(
                [read for read, other in zip(wanted, is_feast, strict=True) if other], trace
            ),
        )
        parts = {False: iter(own), True: iter(feast)}
        return [next(parts[other]) for other in is_feast]

    async def ping(self, timeout_s: float) -> None:
        """Returns if our own store answers. See `FeatureStore.ping`.

        The log tells where Feast's does not: pipelines without views of Feast go on.
        """
        own, feast = await asyncio.gather(
            self._own.ping(timeout_s), self._feast.ping(timeout_s), return_exceptions=True
        )
        self._tell(feast)
        if isinstance(own, BaseException):
            raise own

    async def close(self) -> None:
        """Closes both stores."""
        await asyncio.gather(self._own.close(), self._feast.close())

    def _tell(self, feast: BaseException | None) -> None:
        if isinstance(feast, Unavailable):
            if self._feast_answered:
                _log.warning("Feast's store lost", problem=feast.message)
            self._feast_answered = False
        elif feast is not None:
            raise feast
        elif not self._feast_answered:
            self._feast_answered = True
            _log.info("Feast's store found")
