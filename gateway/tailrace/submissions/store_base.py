"""What the parts of the store share: how a script runs on a partition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tailrace.submissions.ids import partition_of_id
from tailrace.submissions.keys import QueueKeys
from tailrace.submissions.queue_limits import QueueLimits
from tailrace.submissions.queue_link import Argument, QueueLink
from tailrace.submissions.script import load_script

# Redis does nothing else while a script runs.
MOST_PER_SCRIPT = 512
_MOST_BYTES = 4 * 1024 * 1024


def chunks(rows: Sequence[Sequence[Argument]]) -> Iterator[list[Argument]]:
    """Yields the arguments of rows that one script may take; the last of a row is its payload."""
    chunk: list[Argument] = []
    count = size = 0
    for row in rows:
        payload = row[-1]
        payload_bytes = 0 if isinstance(payload, int) else len(payload)
        if count and (count == MOST_PER_SCRIPT or size + payload_bytes > _MOST_BYTES):
            yield chunk
            chunk, count, size = [], 0, 0
        chunk += row
        count, size = count + 1, size + payload_bytes
    if chunk:
        yield chunk


class StoreBase:
    """A link, the keys, and the limits."""

    def __init__(
        self, link: QueueLink, keys: QueueKeys, partitions: int, limits: QueueLimits
    ) -> None:
        self._link = link
        self._keys = keys
        self._partitions = partitions
        self._limits = limits

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return self._partitions

    async def _run(
        self, name: str, partition: int, *arguments: Argument, durable: bool = False
    ) -> Any:
        return await self._link.run(
            load_script(name),
            self._keys.partition(partition),
            self._limits.result_ttl,
            self._limits.dead_letter_ttl,
            *arguments,
            durable=durable,
        )

    def _partition_of(self, prediction_id: str) -> int | None:
        partition = partition_of_id(prediction_id)
        return partition if partition is not None and partition < self._partitions else None

    def _by_partition(self, prediction_ids: Iterable[str]) -> dict[int, list[tuple[int, str]]]:
        """Returns place and id of each that is well formed, by partition."""
        found: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for place, prediction_id in enumerate(prediction_ids):
            partition = self._partition_of(prediction_id)
            if partition is not None:
                found[partition].append((place, prediction_id))
        return found
