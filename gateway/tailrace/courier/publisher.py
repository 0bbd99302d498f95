"""Fills the stream `predictions`, which other systems read."""

from __future__ import annotations

import asyncio

import structlog

from tailrace.courier import metrics
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.store import SubmissionStore

PUBLISHED_AT_ONCE = 100
IDLE_S = 0.2

_log = structlog.get_logger(__name__)


async def publish(store: SubmissionStore, partition: int) -> None:
    """Publishes what a partition has, until cancelled."""
    while True:
        try:
            count = await store.publish(partition, PUBLISHED_AT_ONCE)
            metrics.PUBLISHED.inc(count)
        except QueueUnavailable as error:
            _log.debug("not published yet", **{names.ERROR_MESSAGE: error.message})
            count = 0
        # Few are left for the next time; many go at once.
        if count < PUBLISHED_AT_ONCE:
            await asyncio.sleep(IDLE_S)
