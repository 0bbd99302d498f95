"""The queue as gateway, dispatcher and courier see it; `redis_store.py` is the one that is real.

Every method that changes a submission does so in one atomic step. Partitions are numbered from 0.
All may raise `QueueUnavailable` (nothing is known to have happened) unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tailrace.runtime.errors import TailraceError
from tailrace.submissions.records import (
    Change,
    Claim,
    DeadReason,
    DeliveryClaim,
    DeliveryResult,
    NewSubmission,
    QueueCounts,
    RunPostponed,
    RunResult,
    State,
    StoredPrediction,
    Submitted,
)


class SubmissionStore(Protocol):
    """What every kind of process may ask of the queue."""

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        ...

    async def submit(
        self, partition: int, submissions: Sequence[NewSubmission]
    ) -> list[Submitted | TailraceError]:
        """Puts submissions into one partition; returns once they are as durable as is set.

        Returns:
            In order; `AlreadyExists` for a key used for another body, `Overloaded` with
            BACKLOG_FULL where the partition holds its share of the most that may wait,
            `InvalidField` where its time has passed. One that is there already is returned as it
            is, also then.
        """
        ...

    async def get(
        self, prediction_ids: Sequence[str], *, outcomes: bool, attempts: bool = False
    ) -> list[StoredPrediction | None]:
        """Returns submissions by id, in order; None where there is none, or the id is malformed."""
        ...

    async def cancel(self, prediction_id: str, tenant: str) -> StoredPrediction:
        """Cancels a submission that has no result; one that is cancelled stays so.

        Raises:
            NotFound: there is none, or it is another tenant's (an empty tenant may cancel all).
            FailedPrecondition: it has its result (PREDICTION_ENDED).
        """
        ...

    async def list_state(
        self, state: State, *, tenant: str, pipeline: str, page_size: int, page_token: str
    ) -> tuple[list[StoredPrediction], str]:
        """Returns submissions in a state, without outcomes, and the next page's token or ''.

        Looks at a bounded number of submissions, so a page may be short, or empty.

        Raises:
            InvalidField: the token is not one.
        """
        ...

    async def claim(self, partition: int, max_claims: int) -> list[Claim]:
        """Takes submissions that wait: those with expired leases first, then by priority.

        Of 16 or more, a part is left to each lower priority, so that none waits for ever.

        What is cancelled, past its time, or has crashed too often is dealt with on the way, and not
        returned.
        """
        ...

    async def renew(self, partition: int, claims: Sequence[Claim]) -> list[bool]:
        """Begins the leases anew; False for a claim that is no longer the newest."""
        ...

    async def finish(self, partition: int, results: Sequence[RunResult]) -> list[bool]:
        """Writes results, and lets them be pushed.

        Returns:
            False for a claim that is no longer the newest, or of a submission that is final
            already: nothing is written then.
        """
        ...

    async def postpone(self, partition: int, given_back: Sequence[RunPostponed]) -> list[bool]:
        """Gives claims back; False as in `finish`."""
        ...

    async def sweep(self, partition: int) -> int:
        """Does what time has made due in a partition, a bounded part of it.

        Expires what has waited too long, queues what was postponed, deletes what has been kept long
        enough, trims old changes. Safe to call by any number of processes.

        Returns:
            How many submissions were touched: 0 means that nothing is due.
        """
        ...

    async def due_callbacks(self, partition: int) -> list[str]:
        """Returns keys of callbacks that have a result due in a partition.

        Of thousands it returns a part, and another one the next time.
        """
        ...

    async def claim_deliveries(
        self, partition: int, callback_key: str, max_claims: int, lease_ms: int
    ) -> list[DeliveryClaim]:
        """Takes results that are due for a callback, those due longest first.

        Of large ones it takes fewer, though more are due.
        """
        ...

    async def settle_deliveries(
        self, partition: int, results: Sequence[DeliveryResult]
    ) -> list[bool]:
        """Writes what came of attempts; False for a claim that is no longer the newest."""
        ...

    async def release_deliveries(
        self, partition: int, claims: Sequence[DeliveryClaim]
    ) -> list[bool]:
        """Gives claims back, which are due at once; False for one that is no longer the newest."""
        ...

    async def kill_deliveries(
        self, partition: int, callback_key: str, reason: DeadReason, max_count: int
    ) -> int:
        """Makes dead letters of what waits for a callback, also of what is not due yet.

        Returns:
            How many there were; fewer than `max_count` means that no more are left.
        """
        ...

    async def list_dead(
        self,
        *,
        tenant: str,
        callback: str,
        pipeline: str,
        reason: str,
        page_size: int,
        page_token: str,
    ) -> tuple[list[StoredPrediction], str]:
        """Returns dead letters, without outcomes, and the next page's token or ''.

        Raises:
            InvalidField: the token is not one.
        """
        ...

    async def redrive(self, prediction_ids: Sequence[str], *, pending: bool = False) -> list[bool]:
        """Tries dead letters again; False where it is none.

        A result that could not be delivered becomes due at once, with all its attempts before it.
        A poison submission is queued again, its crashes forgotten.

        Args:
            prediction_ids: which ones.
            pending: whether to take deliveries that wait for their next attempt, too: they become
                due at once, and keep their attempts. An attempt that is being made is made again.
        """
        ...

    async def changes(
        self, partition: int, after: str, max_changes: int, block_ms: int | None
    ) -> list[Change]:
        """Returns changes of a partition after a position, oldest first.

        Args:
            partition: which one.
            after: a position; `0` for the oldest kept, where `0-0` means that none was missed.
            max_changes: most to return.
            block_ms: how long to wait for one where there is none; None means not at all.

        Raises:
            OutOfRange: changes after it have been trimmed.
        """
        ...

    async def last_position(self, partition: int) -> str:
        """Returns the position of a partition's newest change; `0-0` if there was none."""
        ...

    async def publish(self, partition: int, max_changes: int) -> int:
        """Appends results that are not there yet to the `predictions` stream, at least once each.

        Returns:
            How many were appended; 0 means that none are left.
        """
        ...

    async def wait_queued(self, timeout_s: float) -> None:
        """Returns when submissions may have been queued, or after the timeout."""
        ...

    async def wait_due(self, timeout_s: float) -> None:
        """Returns when deliveries may have become due, or after the timeout."""
        ...

    async def counts(self, partition: int) -> QueueCounts:
        """Returns how much of what a partition holds."""
        ...

    async def now_ms(self) -> int:
        """Returns the queue's clock."""
        ...
