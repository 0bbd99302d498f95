"""Reading and listing submissions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tailrace.submissions.page_token import Page, read_page
from tailrace.submissions.records import QueueCounts, State, StoredPrediction
from tailrace.submissions.store_base import MOST_PER_SCRIPT, StoreBase
from tailrace.submissions.stored_rows import stored_prediction

# Most submissions that a page looks at, wanted or not.
_LOOK_AT = 2_000


class ReadStore(StoreBase):
    """The part of `SubmissionStore` that only reads."""

    async def get(
        self, prediction_ids: Sequence[str], *, outcomes: bool, attempts: bool = False
    ) -> list[StoredPrediction | None]:
        """As `SubmissionStore.get`."""
        found: list[StoredPrediction | None] = [None] * len(prediction_ids)

        async def read(partition: int, chunk: Sequence[tuple[int, str]]) -> None:
            ids = (prediction_id for _, prediction_id in chunk)
            reply = await self._run("get", partition, int(outcomes), int(attempts), *ids)
            for (place, prediction_id), row in zip(chunk, reply, strict=True):
                if row:
                    found[place] = stored_prediction(
                        prediction_id, row, next_attempt=row[11], attempts=row[12]
                    )

        await asyncio.gather(
            *(
                read(partition, placed[first : first + MOST_PER_SCRIPT])
                for partition, placed in self._by_partition(prediction_ids).items()
                for first in range(0, len(placed), MOST_PER_SCRIPT)
            )
        )
        return found

    async def list_state(
        self, state: State, *, tenant: str, pipeline: str, page_size: int, page_token: str
    ) -> tuple[list[StoredPrediction], str]:
        """As `SubmissionStore.list_state`."""
        wanted = (tenant, pipeline, "", "")
        return await self._list(f"state:{int(state)}", wanted, page_size, page_token)

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
        """As `SubmissionStore.list_dead`."""
        wanted = (tenant, pipeline, callback, reason)
        return await self._list("dead", wanted, page_size, page_token)

    async def counts(self, partition: int) -> QueueCounts:
        """As `SubmissionStore.counts`."""
        reply = await self._run("counts", partition)
        return QueueCounts(
            partition=partition,
            states={state: reply[state - 1] for state in State},
            deliveries_pending=reply[6],
            dead_letters=reply[7],
            oldest_queued_ms=int(reply[8]) if reply[8] else None,
            oldest_due_ms=int(reply[9]) if reply[9] else None,
        )

    async def now_ms(self) -> int:
        """As `SubmissionStore.now_ms`."""
        seconds, microseconds = await self._link.call("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def _list(
        self, name: str, wanted: tuple[str, str, str, str], page_size: int, page_token: str
    ) -> tuple[list[StoredPrediction], str]:
        page = read_page(page_token)
        found: list[StoredPrediction] = []
        # One partition after the other, each newest first.
        while page.partition < self._partitions:
            more, score, prediction_id, rows = await self._run(
                "list",
                page.partition,
                name,
                page_size - len(found),
                _LOOK_AT,
                *wanted,
                page.score,
                page.prediction_id,
            )
            for place in range(0, len(rows), 2):
                found.append(stored_prediction(rows[place].decode(), rows[place + 1]))
            if more:
                return found, Page(page.partition, score.decode(), prediction_id.decode()).token
            page = Page(page.partition + 1)
            if len(found) == page_size:
                break
        return found, page.token if page.partition < self._partitions else ""
