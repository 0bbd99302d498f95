"""What a dispatcher does beside running submissions: keeps leases, does what time has made due."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from tailrace.dispatcher.claimed_batch import ClaimedBatch
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.store import SubmissionStore

# Renewals within one lease: all but one of them may fail.
RENEWALS_A_LEASE = 4
SWEEP_EVERY_S = 0.2
# Most sweeps of one partition in a row, though more is due.
SWEEPS_IN_A_ROW = 20

_log = structlog.get_logger(__name__)


async def keep_leases(
    store: SubmissionStore, batches: Iterable[ClaimedBatch], lease_ms: int
) -> None:
    """Renews what the batches hold, until cancelled.

    Args:
        store: the queue.
        batches: those of the moment, whenever they are looked at.
        lease_ms: how long a lease lasts.
    """
    while True:
        await asyncio.sleep(lease_ms / 1000 / RENEWALS_A_LEASE)
        for batch in list(batches):
            held = batch.held
            if not held:
                continue
            try:
                kept = await store.renew(batch.partition, held)
            except QueueUnavailable as error:
                _log.warning("leases cannot be renewed", **{names.ERROR_MESSAGE: error.message})
                continue
            lost = [
                claim.prediction_id
                for claim, is_kept in zip(held, kept, strict=True)
                if not is_kept
            ]
            if lost:
                batch.lose(frozenset(lost))


async def sweep(store: SubmissionStore) -> None:
    """Sweeps the partitions in turn, until cancelled."""
    while True:
        try:
            for partition in range(store.partitions):
                for _ in range(SWEEPS_IN_A_ROW):
                    if not await store.sweep(partition):
                        break
        except QueueUnavailable as error:
            _log.debug("the queue cannot be swept", **{names.ERROR_MESSAGE: error.message})
        await asyncio.sleep(SWEEP_EVERY_S)
