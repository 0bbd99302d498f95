"""Writes what came of claims into the queue: until it is written, or another has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from tailrace.dispatcher.metrics import FENCED, POSTPONED, RESULTS
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.records import RunPostponed, RunResult
from tailrace.submissions.store import SubmissionStore

FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 1.0
# Most ids of one line of the log.
TOLD = 10

_log = structlog.get_logger(__name__)


class ResultWriter:
    """Writes in batches."""

    def __init__(self, store: SubmissionStore) -> None:
        """Keeps the queue."""
        self._store = store

    async def write(
        self,
        partition: int,
        results: Sequence[RunResult],
        postponed: Sequence[RunPostponed],
        reasons: Sequence[str] = (),
    ) -> None:
        """Writes results, and gives claims back; returns once the queue has taken or refused them.

        Args:
            partition: of all of them.
            results: what succeeded, or failed for good.
            postponed: what is to run again.
            reasons: why, one for each that is postponed; empty for claims that were not run.
        """
        if results:
            taken = await self._persist(
                partition, len(results), lambda: self._store.finish(partition, results)
            )
            for result, is_taken in zip(results, taken, strict=True):
                if is_taken:
                    RESULTS.labels(result.state.name).inc()
            refused = _refused(results, taken)
            tell_fenced(partition, refused)
        if postponed:
            taken = await self._persist(
                partition, len(postponed), lambda: self._store.postpone(partition, postponed)
            )
            for place, is_taken in enumerate(taken):
                if is_taken:
                    POSTPONED.labels(reasons[place] if reasons else "NOT_RUN").inc()
            tell_fenced(partition, _refused(postponed, taken))

    async def _persist(
        self, partition: int, rows: int, write: Callable[[], Awaitable[list[bool]]]
    ) -> list[bool]:
        """Repeats a write that the queue did not answer."""
        wait_s = FIRST_RETRY_S
        while True:
            try:
                return await write()
            except QueueUnavailable as error:
                _log.warning(
                    "results wait for the queue",
                    **{
                        names.PARTITION: partition,
                        names.ROWS: rows,
                        names.ERROR_MESSAGE: error.message,
                    },
                )
            await asyncio.sleep(wait_s)
            wait_s = min(LONGEST_RETRY_S, 2 * wait_s)


def tell_fenced(partition: int, prediction_ids: Sequence[str]) -> None:
    """Counts and logs claims that are this process's no more; what they came to is not written.

    One of them may have been written by an attempt that the queue did not answer.
    """
    if not prediction_ids:
        return
    FENCED.inc(len(prediction_ids))
    _log.warning(
        "claims are no longer ours",
        **{
            names.PARTITION: partition,
            names.FAILED_ROWS: len(prediction_ids),
            names.PREDICTION_ID: " ".join(prediction_ids[:TOLD]),
        },
    )


def _refused(written: Sequence[RunResult | RunPostponed], taken: Sequence[bool]) -> list[str]:
    return [
        each.prediction_id for each, is_taken in zip(written, taken, strict=True) if not is_taken
    ]
