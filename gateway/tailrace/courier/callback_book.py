"""The registered callbacks, as they are now, ready for use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import QueueUnavailable, TailraceError
from tailrace.submissions.callback_record import CallbackRecord, CallbackStore
from tailrace.submissions.push.destination import Destination, registered_destination
from tailrace.submissions.records import DeadReason
from tailrace.webhooks.errors import MalformedKey

LOOK_EVERY_S = 0.25

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookEntry:
    """A registered callback.

    Attributes:
        destination: None if it cannot be used, as the settings are now.
    """

    record: CallbackRecord
    destination: Destination | None


class CallbackBook:
    """Keeps registered callbacks, and looks often whether any has changed."""

    def __init__(
        self,
        store: CallbackStore,
        *,
        allow_plaintext: bool,
        on_end: Callable[[str, DeadReason], None],
        on_change: Callable[[str], None],
    ) -> None:
        """Reads nothing yet.

        Args:
            store: where they are kept.
            allow_plaintext: whether they may be called without TLS.
            on_end: told the key of each that is found to be disabled or deleted, and which.
            on_change: told the key of each that is found to be changed otherwise.
        """
        self._store = store
        self._allow_plaintext = allow_plaintext
        self._on_end = on_end
        self._on_change = on_change
        self._entries: dict[str, BookEntry] = {}
        self._revision: int | None = None

    async def find(self, key: str) -> BookEntry | None:
        """Returns a callback, or None if it is not registered. Raises QueueUnavailable."""
        entry = self._entries.get(key)
        if entry is None:
            tenant, _, name = key.rpartition("/")
            record = await self._store.find(tenant, name)
            if record is not None:
                entry = self._entries[key] = self._entry(record)
        return entry

    async def disable(self, entry: BookEntry, reason: str) -> bool:
        """Disables a callback for good; returns False if its target was changed meanwhile.

        Raises:
            QueueUnavailable: it is not known whether it was disabled.
        """
        record: CallbackRecord | None = entry.record
        while record is not None and record.target == entry.record.target:
            if not record.enabled:
                return True
            try:
                changed = await self._store.replace(replace(record, disabled_reason=reason))
            except QueueUnavailable:
                raise
            except TailraceError:
                # It was changed or deleted meanwhile, so it is read anew.
                record = await self._store.find(record.tenant, record.name)
                continue
            self._entries[changed.key] = self._entry(changed)
            return True
        return False

    async def watch(self) -> None:
        """Keeps up with changes, until cancelled."""
        while True:
            try:
                await self.look()
            except QueueUnavailable as error:
                _log.debug("callbacks cannot be read", **{names.ERROR_MESSAGE: error.message})
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Reads all callbacks, if any has changed. Raises QueueUnavailable."""
        revision = await self._store.revision()
        if revision == self._revision:
            return
        records = await self._store.all()
        known, self._entries = self._entries, {}
        for key, record in records.items():
            before = known.get(key)
            same = before is not None and before.record.revision == record.revision
            self._entries[key] = before if before and same else self._entry(record)
            if not same and not record.enabled:
                self._on_end(key, DeadReason.CALLBACK_DISABLED)
            elif not same and before is not None:
                self._on_change(key)
        for key in known.keys() - records.keys():
            self._on_end(key, DeadReason.CALLBACK_DELETED)
        self._revision = revision

    def _entry(self, record: CallbackRecord) -> BookEntry:
        try:
            destination = registered_destination(record, allow_plaintext=self._allow_plaintext)
        except (TailraceError, MalformedKey) as error:
            _log.warning(
                "callback cannot be used",
                **{names.CALLBACK: record.key, names.ERROR_MESSAGE: str(error)},
            )
            return BookEntry(record=record, destination=None)
        return BookEntry(record=record, destination=destination)
