"""What a dispatcher does beside running submissions: keeps leases, does what time has made due."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog

from tailrace.dispatcher.claimed_batch import ClaimedBatch
from tailrace.dispatcher.metrics import tell_counts
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.store import SubmissionStore

# Renewals within one lease: all but one of them may fail.
RENEWALS_A_LEASE = 4
SWEEP_EVERY_S = 0.2
COUNT_EVERY_S = 5.0
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

    async def renew(batch: ClaimedBatch) -> None:
        held = batch.held
        if held:
            kept = await store.renew(batch.partition, held)
            ids = [claim.prediction_id for claim in held]
            lost = frozenset([name for name, is_kept in zip(ids, kept, strict=True) if not is_kept])
            if lost:
                batch.lose(lost)

    while True:
        await asyncio.sleep(lease_ms / 1000 / RENEWALS_A_LEASE)
        # Beside each other: a partition that does not answer is not to hold up the others.
        await asyncio.gather(
            *[attempt("renew leases", batch.partition, renew(batch)) for batch in list(batches)]
        )


async def sweep(store: SubmissionStore) -> None:
    """Sweeps the partitions in turn, until cancelled."""

    async def sweep_one(partition: int) -> None:
        for _ in range(SWEEPS_IN_A_ROW):
            if not await store.sweep(partition):
                break

    while True:
        for partition in range(store.partitions):
            await attempt("sweep", partition, sweep_one(partition))
        await asyncio.sleep(SWEEP_EVERY_S)


async def count_queue(store: SubmissionStore) -> None:
    """Tells how much of what the queue holds, until cancelled."""

    async def count(partition: int) -> None:
        tell_counts(await store.counts(partition), await store.now_ms())

    while True:
        for partition in range(store.partitions):
            await attempt("count", partition, count(partition))
        await asyncio.sleep(COUNT_EVERY_S)


async def attempt(what: str, partition: int, work: Coroutine[Any, Any, None]) -> bool:
    """Does something that is done again soon; returns whether it was done.

    Whatever fails, the process goes on: to end would take the leases of others' work with it.
    """
    fields = {names.PARTITION: partition, names.JOB: what}
    try:
        await work
    except QueueUnavailable as error:
        _log.warning("the queue is away", **fields, **{names.ERROR_MESSAGE: error.message})
    except Exception:
        _log.exception("upkeep failed", **fields)
    else:
        return True
    return False
