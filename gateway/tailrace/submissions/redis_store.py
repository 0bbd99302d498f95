"""The store of submissions in Redis."""

from __future__ import annotations

from tailrace.submissions.hints import Hints
from tailrace.submissions.keys import QueueKeys
from tailrace.submissions.queue_limits import QueueLimits
from tailrace.submissions.queue_link import QueueLink
from tailrace.submissions.store_changes import ChangeStore
from tailrace.submissions.store_deliveries import DeliveryStore
from tailrace.submissions.store_reads import ReadStore
from tailrace.submissions.store_runs import RunStore


class RedisStore(RunStore, DeliveryStore, ReadStore, ChangeStore):
    """`SubmissionStore`, by scripts that each work on one partition."""

    def __init__(
        self,
        link: QueueLink,
        keys: QueueKeys,
        partitions: int,
        limits: QueueLimits,
        hints: Hints,
    ) -> None:
        super().__init__(link, keys, partitions, limits)
        self._hints = hints

    async def wait_queued(self, timeout_s: float) -> None:
        """As `SubmissionStore.wait_queued`."""
        await self._hints.wait(self._keys.queued_channel, timeout_s)

    async def wait_due(self, timeout_s: float) -> None:
        """As `SubmissionStore.wait_due`."""
        await self._hints.wait(self._keys.due_channel, timeout_s)
