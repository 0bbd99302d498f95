"""One watch: tells changes of predictions as they happen, no faster than they are taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import Gauge

from tailrace.gateway.change_tail import ChangeTails
from tailrace.gateway.watch_filter import WatchFilter
from tailrace.gateway.watch_position import decode_position, encode_position
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import Reason, Unavailable
from tailrace.submissions.record_message import prediction_record, timestamp
from tailrace.submissions.records import Change, DeliveryState
from tailrace.submissions.store import SubmissionStore
from tailrace.v1.prediction_service_pb2 import PredictionChange, WatchPredictionsResponse

# Changes of one message at most, and read at once by one that is behind.
READ_CHANGES = 256
# Of the largest message: what is left is for the frames around the changes, and the position.
MESSAGE_SHARE = 0.9
# A watch that lets little through still learns where to resume.
POSITION_EVERY_S = 15.0

_WATCHES = Gauge(names.WATCHES, "Watches under way.")


class PredictionWatch:
    """Tells one caller of changes until the call ends.

    Nothing waits for a caller who is slow: changes are fetched when those before have been taken.
    One who falls behind what is kept here has them read from the queue, until they are no longer
    kept there either.
    """

    def __init__(
        self,
        store: SubmissionStore,
        tails: ChangeTails,
        wanted: WatchFilter,
        max_message_bytes: int,
        write: Callable[[WatchPredictionsResponse], Awaitable[None]],
        draining: asyncio.Event,
    ) -> None:
        """Keeps the parts.

        Args:
            store: the queue.
            tails: the changes of each partition.
            wanted: what to tell.
            max_message_bytes: largest message sent, in bytes.
            write: sends a message; returns once the transport takes more, or raises.
            draining: set once the process is to end; `tails` then wake everybody.
        """
        self._store = store
        self._tails = tails
        self._wanted = wanted
        self._write = write
        self._draining = draining
        self._max_bytes = int(max_message_bytes * MESSAGE_SHARE)
        self._positions: dict[int, str] = {}
        self._told = ""
        self._woken = asyncio.Event()

    async def run(self, position: str) -> None:
        """Tells changes after a position, or from now on if it is empty, without end.

        Raises:
            InvalidField: the position cannot be one of this watch.
            OutOfRange: changes after the position are no longer kept.
            DeadlineExceeded: a message was not taken in time.
            Unavailable: the queue cannot be read, or the process is to end.
            asyncio.CancelledError: the caller left.
        """
        partitions = self._wanted.partitions
        if position:
            self._positions = decode_position(position, partitions)
        with _WATCHES.track_inprogress():
            async with self._tails.followed(partitions, self._woken.set):
                if not position:
                    self._positions = {each: self._tails[each].end for each in partitions}
                await self._send([])
                if not position:
                    await self._tell_what_was()
                await self._tell_what_comes()

    async def _tell_what_comes(self) -> None:
        while not self._draining.is_set():
            self._woken.clear()
            behind = False
            for partition in self._positions:
                changes = await self._next_changes(partition)
                if changes:
                    await self._tell(partition, changes)
                    behind = True
            if not behind:
                await self._rest()
        raise Unavailable("the gateway is shutting down", reason=Reason.DRAINING)

    async def _next_changes(self, partition: int) -> Sequence[Change]:
        position = self._positions[partition]
        changes = self._tails[partition].since(position)
        if changes is None:
            return await self._store.changes(partition, position, READ_CHANGES, None)
        return changes[:READ_CHANGES]

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(POSITION_EVERY_S):
                await self._woken.wait()
        except TimeoutError:
            if encode_position(self._positions) != self._told:
                await self._send([])

    async def _tell_what_was(self) -> None:
        """Tells what had happened to the predictions that were named, before the watch began."""
        ids = self._wanted.prediction_ids
        for first in range(0, len(ids), READ_CHANGES):
            part = ids[first : first + READ_CHANGES]
            found = await self._store.get(part, outcomes=self._wanted.include_outcomes)
            changes = [
                Change(
                    partition=0,
                    position="0",
                    prediction_id=stored.prediction_id,
                    tenant=stored.tenant,
                    pipeline=stored.pipeline,
                    state=stored.state,
                    delivery_state=DeliveryState.NONE,
                    changed_ms=stored.ended_ms or stored.created_ms,
                )
                for stored in found
                if stored is not None
            ]
            await self._send_in_parts(await self._messages(changes))

    async def _tell(self, partition: int, changes: Sequence[Change]) -> None:
        messages = await self._messages(changes)
        # What was sent of this before may come again after resuming.
        rest = await self._send_in_parts(messages, keep_last=True)
        self._positions[partition] = changes[-1].position
        if rest:
            await self._send(rest)

    async def _messages(self, changes: Sequence[Change]) -> list[PredictionChange]:
        changes = [change for change in changes if self._wanted.lets_through(change)]
        if not changes:
            return []
        found = await self._store.get(
            [change.prediction_id for change in changes], outcomes=self._wanted.include_outcomes
        )
        return [
            PredictionChange(
                prediction=prediction_record(stored, outcome=self._wanted.include_outcomes),
                change_time=timestamp(change.changed_ms),
            )
            for change, stored in zip(changes, found, strict=True)
            if stored is not None
        ]

    async def _send_in_parts(
        self, messages: Sequence[PredictionChange], *, keep_last: bool = False
    ) -> list[PredictionChange]:
        """Sends changes in messages that are not too large; returns the last part if kept."""
        part: list[PredictionChange] = []
        size_bytes = 0
        for message in messages:
            size_bytes += message.ByteSize()
            if part and size_bytes > self._max_bytes:
                await self._send(part)
                part, size_bytes = [], message.ByteSize()
            part.append(message)
        if keep_last:
            return part
        if part:
            await self._send(part)
        return []

    async def _send(self, changes: Sequence[PredictionChange]) -> None:
        self._told = encode_position(self._positions)
        await self._write(WatchPredictionsResponse(changes=changes, position=self._told))
