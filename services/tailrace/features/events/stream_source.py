"""Takes in events from Redis streams, as one of a group of processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import Sequence
from typing import Any

import structlog

from tailrace.features.events.applier import Lane
from tailrace.features.events.event_metrics import PARTITIONS_HELD, STREAM_ENTRIES
from tailrace.features.events.event_span import entries_span, producers_of
from tailrace.features.events.intake import EventIntake
from tailrace.features.events.partition_leases import PartitionLeases
from tailrace.features.events.stream_batch import Entry, read_entries
from tailrace.features.events.stream_entry import StreamNames
from tailrace.features.redis_errors import RedisRefused
from tailrace.features.redis_link import Argument, RedisLink
from tailrace.runtime.config import EventsSettings
from tailrace.runtime.errors import Reason, TailraceError, Unavailable
from tailrace.runtime.tracing import span_names as names
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.runtime.tracing.tracing import process_tracing

GROUP = "tailrace-events"
BLOCK_MS = 200
RETRY_S = 0.2
_RENEWALS = 4
_START = b"0-0"
_MAX_NUMBER = 2**64 - 1

_log = structlog.get_logger(__name__)


class StreamSource:
    """Reads the partitions that this process holds, in order, and acknowledges what is applied.

    An entry is acknowledged once lookups see its event, or once it is in the stream of dead
    entries with the reason. What another process has read and not acknowledged is claimed before
    anything new of its partition is read. Acknowledged entries are trimmed away.
    """

    def __init__(
        self, intake: EventIntake, link: RedisLink, reading: RedisLink, settings: EventsSettings
    ) -> None:
        """Keeps the parts.

        Args:
            intake: takes in the events.
            link: to the feature Redis.
            reading: another one, whose commands block.
            settings: of the process.
        """
        self._intake = intake
        self._link = link
        self._reading = reading
        self._tracing = process_tracing()
        self._settings = settings
        self._timeout_s = settings.events_apply_timeout_ms / 1000
        self._names = StreamNames(settings.feature_key_prefix)
        self._consumer = uuid.uuid4().hex
        self._leases = PartitionLeases(
            link,
            self._names,
            self._consumer,
            settings.events_partitions,
            settings.events_lease_ms,
        )
        self._lanes: dict[int, Lane] = {}
        self._ended = asyncio.Event()

    async def ended(self) -> None:
        """Returns once `run` has, after the service was told to end."""
        await self._ended.wait()

    async def run(self, draining: asyncio.Event) -> None:
        """Reads until `draining` is set, and then lets go of its partitions."""
        renewing = asyncio.create_task(self._renew_forever())
        failed = ""
        try:
            while not draining.is_set():
                try:
                    await self._round(draining)
                    failed = ""
                except TailraceError as error:
                    if error.message != failed:
                        _log.warning("event streams cannot be read", problem=error.message)
                    failed = error.message
                    # What was read and not acknowledged is claimed again.
                    self._forget(set(self._lanes))
                    await _until_set(draining, RETRY_S)
        finally:
            renewing.cancel()
            self._forget(set(self._lanes))
            with contextlib.suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await self._leases.leave()
            self._ended.set()

    async def _renew_forever(self) -> None:
        while True:
            with contextlib.suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await self._leases.renew()
            await asyncio.sleep(self._settings.events_lease_ms / 1000 / _RENEWALS)

    async def _round(self, draining: asyncio.Event) -> None:
        surplus = self._leases.surplus()
        if surplus:
            self._forget(surplus)
            await self._leases.release(surplus)
        held = self._leases.held()
        PARTITIONS_HELD.set(len(held))
        self._forget(set(self._lanes) - held)
        for partition in sorted(held - set(self._lanes)):
            await self._claim(partition)
        if not self._lanes:
            await _until_set(draining, BLOCK_MS / 1000)
            return
        partitions = sorted(self._lanes)
        found = await self._read(partitions)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_kept(self._take(partition, entries)))
                for partition, entries in found.items()
            ]
        for task in tasks:
            if (error := task.result()) is not None:
                raise error

    async def _claim(self, partition: int) -> None:
        """Takes what others have read and not acknowledged; then the partition can be read on."""
        stream, start = self._names.stream(partition), _START
        with _suppressed("BUSYGROUP"):
            await self._call("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM")
        lane = Lane()
        count = self._settings.events_read_count
        while True:
            reply = await self._call(
                "XAUTOCLAIM", stream, GROUP, self._consumer, 0, start, "COUNT", count
            )
            start, entries = reply[0], reply[1]
            await self._take(partition, _entries(entries), lane)
            if start == _START:
                break
        await self._forget_consumers(stream)
        self._lanes[partition] = lane

    async def _forget_consumers(self, stream: str) -> None:
        consumers = await self._call("XINFO", "CONSUMERS", stream, GROUP)
        for consumer in consumers:
            told = dict(zip(consumer[::2], consumer[1::2], strict=True))
            if told[b"name"].decode() != self._consumer and not told[b"pending"]:
                await self._call("XGROUP", "DELCONSUMER", stream, GROUP, told[b"name"])

    async def _read(self, partitions: Sequence[int]) -> dict[int, list[Entry]]:
        streams = {self._names.stream(partition): partition for partition in partitions}
        try:
            async with asyncio.timeout(BLOCK_MS / 1000 + self._timeout_s):
                reply = await self._reading.call(
                    *("XREADGROUP", "GROUP", GROUP, self._consumer),
                    *("COUNT", self._settings.events_read_count, "BLOCK", BLOCK_MS),
                    *("STREAMS", *streams, *[">"] * len(streams)),
                )
        except TimeoutError as error:
            self._reading.reset("it does not answer")
            raise _no_answer(self._timeout_s) from error
        return {streams[name.decode()]: _entries(entries) for name, entries in reply or ()}

    async def _take(self, partition: int, entries: list[Entry], lane: Lane | None = None) -> None:
        if not entries:
            return
        lane = lane or self._lanes[partition]
        producers = self._producers(entries)
        if not producers:
            await self._apply(partition, entries, lane)
            return
        attributes, span = entries_span(self._tracing, producers, partition, len(entries))
        with span:
            attributes[names.REFUSED] = await self._apply(partition, entries, lane)

    def _producers(self, entries: list[Entry]) -> list[TraceContext]:
        if not self._tracing.tells or not self._tracing.follow_callers:
            return []
        return producers_of([entry.fields for entry in entries])

    async def _apply(self, partition: int, entries: list[Entry], lane: Lane) -> int:
        """Returns how many entries were not taken in by every view."""
        batch = read_entries(self._intake, entries, lane)
        dead = await batch.problems()
        # Another may have taken over, and knows better what became of them.
        if partition not in self._leases.held():
            raise Unavailable("the lease of a partition ran out")
        stream = self._names.stream(partition)
        if dead:
            await self._many([self._dead_command(partition, e, problems) for e, problems in dead])
        last = entries[-1].id
        await self._many(
            [
                ["XACK", stream, GROUP, *(entry.id for entry in entries)],
                ["XTRIM", stream, "MINID", "=", _after(last)],
            ]
        )
        STREAM_ENTRIES.labels("dead").inc(len(dead))
        STREAM_ENTRIES.labels("taken").inc(len(entries) - len(dead))
        return len(dead)

    def _dead_command(self, partition: int, entry: Entry, problems: str) -> list[Argument]:
        command: list[Argument] = ["XADD", self._names.dead, "MAXLEN", "~"]
        command += [self._settings.events_dead_max, "*", "problems", problems]
        command += ["partition", partition, "entry", entry.id]
        # As they came, behind what is told of them, under names that cannot be taken for it.
        return command + list(
            itertools.chain.from_iterable(
                (b"entry." + name, content) for name, content in entry.fields.items()
            )
        )

    async def _call(self, *command: Argument) -> Any:
        (reply,) = await self._many([command])
        return reply

    async def _many(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._link.call_many(commands)
        except TimeoutError as error:
            self._link.reset("it does not answer")
            raise _no_answer(self._timeout_s) from error

    def _forget(self, partitions: set[int]) -> None:
        for partition in partitions:
            lane = self._lanes.pop(partition, None)
            if lane is not None:
                lane.close()


def _entries(reply: Any) -> list[Entry]:
    # What was deleted while it was pending comes without fields, or not at all.
    return [
        Entry(each[0].decode(), dict(zip(each[1][::2], each[1][1::2], strict=True)))
        for each in reply
        if each is not None and each[1] is not None
    ]


def _after(entry_id: str) -> str:
    milliseconds, number = map(int, entry_id.split("-"))
    if number == _MAX_NUMBER:
        return f"{milliseconds + 1}-0"
    return f"{milliseconds}-{number + 1}"


def _no_answer(timeout_s: float) -> Unavailable:
    return Unavailable(
        f"the feature store did not answer within {timeout_s:g} s",
        reason=Reason.FEATURE_STORE_UNAVAILABLE,
    )


@contextlib.contextmanager
def _suppressed(error_code: str) -> Any:
    try:
        yield
    except RedisRefused as error:
        if error.error_code != error_code:
            raise


async def _kept(taking: Any) -> TailraceError | None:
    # A partition that fails must not end the others in the middle.
    try:
        await taking
    except TailraceError as error:
        return error
    return None


async def _until_set(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
