"""Changes of submissions, and the stream of results for other systems."""

from __future__ import annotations

import re
import secrets

from tailrace.runtime.errors import InvalidField, OutOfRange
from tailrace.submissions.keys import QueueKeys
from tailrace.submissions.queue_limits import QueueLimits
from tailrace.submissions.queue_link import Argument, QueueLink
from tailrace.submissions.records import Change, DeliveryState, State
from tailrace.submissions.script import load_script
from tailrace.submissions.store_base import StoreBase

# After this, another publisher goes on where one was not heard of; entries may then be there twice.
_PUBLISH_LEASE_MS = 10_000
_PUBLISH_MOST = 512
_POSITION = re.compile(r"[0-9]{1,18}(-[0-9]{1,18})?")


class ChangeStore(StoreBase):
    """The part of `SubmissionStore` that tells of changes."""

    def __init__(
        self, link: QueueLink, keys: QueueKeys, partitions: int, limits: QueueLimits
    ) -> None:
        super().__init__(link, keys, partitions, limits)
        self._token = secrets.token_hex(8)

    async def changes(
        self, partition: int, after: str, max_changes: int, block_ms: int | None
    ) -> list[Change]:
        """As `SubmissionStore.changes`; also raises InvalidField for what is no position."""
        if not _POSITION.fullmatch(after):
            raise InvalidField("not a position of changes", field="position")
        entries = await self._run("changes", partition, after, max_changes)
        if entries == [] and block_ms:
            stream = self._keys.partition(partition) + "changes"
            await self._link.wait_newer(stream, after, block_ms)
            entries = await self._run("changes", partition, after, max_changes)
        if entries is None:
            raise OutOfRange("changes after that position are no longer kept")
        return [
            Change(
                partition=partition,
                position=position.decode(),
                prediction_id=fields[1].decode(),
                tenant=fields[3].decode(),
                pipeline=fields[5].decode(),
                state=State(int(fields[7])),
                delivery_state=DeliveryState(int(fields[9])),
                changed_ms=int(position.partition(b"-")[0]),
            )
            for position, fields in entries
        ]

    async def last_position(self, partition: int) -> str:
        """As `SubmissionStore.last_position`."""
        position: bytes = await self._run("last_position", partition)
        return position.decode()

    async def publish(self, partition: int, max_changes: int) -> int:
        """As `SubmissionStore.publish`; 0 also while another process is at it."""
        most = min(max_changes, _PUBLISH_MOST)
        appended = 0
        # Ended deliveries are among the changes, and are not published.
        while appended == 0:
            last, rows = await self._run(
                "unpublished", partition, self._token, _PUBLISH_LEASE_MS, most, *self._output()
            )
            if not last:
                break
            if not self._link.is_cluster:
                appended = rows
                continue
            if rows:
                append = load_script("append", prelude=False)
                most_kept = self._limits.output_stream_max
                appended = await self._link.run(append, self._keys.predictions, most_kept, *rows)
            if not await self._run("published", partition, self._token, last):
                break
        return appended

    def _output(self) -> tuple[Argument, ...]:
        if self._link.is_cluster:
            return ()
        return (self._keys.predictions, self._limits.output_stream_max)
