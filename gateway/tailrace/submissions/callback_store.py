"""Registered callbacks in Redis."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from tailrace.runtime.errors import Aborted, AlreadyExists, NotFound, Reason
from tailrace.submissions.callback_record import CallbackRecord, Secret
from tailrace.submissions.keys import QueueKeys
from tailrace.submissions.queue_link import QueueLink
from tailrace.submissions.script import load_script


class RedisCallbackStore:
    """`CallbackStore`, in one hash."""

    def __init__(self, link: QueueLink, keys: QueueKeys) -> None:
        self._link = link
        self._key = keys.callbacks

    async def create(self, record: CallbackRecord) -> None:
        """As `CallbackStore.create`."""
        if await self._change("create", record.key, _to_json(record)) == 0:
            raise AlreadyExists(
                f"there is a callback {record.name!r}", field="name", reason=Reason.CALLBACK_EXISTS
            )

    async def replace(self, record: CallbackRecord) -> CallbackRecord:
        """As `CallbackStore.replace`."""
        revision = await self._change("replace", record.key, _to_json(record), record.revision)
        if revision == 0:
            raise _missing(record.name)
        if revision < 0:
            raise Aborted(f"callback {record.name!r} was changed meanwhile")
        return dataclasses.replace(record, revision=revision)

    async def delete(self, tenant: str, name: str) -> None:
        """As `CallbackStore.delete`."""
        if "/" in name or await self._change("delete", f"{tenant}/{name}") == 0:
            raise _missing(name)

    async def find(self, tenant: str, name: str) -> CallbackRecord | None:
        """As `CallbackStore.find`."""
        if "/" in name:
            # A name has none; the key would be that of another tenant's callback.
            return None
        value = await self._link.call("HGET", self._key, f"{tenant}/{name}")
        return _from_value(value) if value else None

    async def all(self) -> Mapping[str, CallbackRecord]:
        """As `CallbackStore.all`."""
        reply = await self._link.call("HVALS", self._key)
        records = [_from_value(value) for value in reply]
        return {record.key: record for record in records}

    async def revision(self) -> int:
        """As `CallbackStore.revision`."""
        return int(await self._link.call("GET", f"{self._key}:revision") or 0)

    async def _change(self, action: str, key: str, record: str = "", revision: int = 0) -> int:
        script = load_script("callbacks", prelude=False)
        return int(
            await self._link.run(script, self._key, action, key, record, revision, durable=True)
        )


def _missing(name: str) -> NotFound:
    return NotFound(
        f"there is no callback {name!r}", field="name", reason=Reason.CALLBACK_NOT_FOUND
    )


def _to_json(record: CallbackRecord) -> str:
    fields = {
        field.name: getattr(record, field.name)
        for field in dataclasses.fields(record)
        if field.name not in ("revision", "secrets")
    }
    secrets = [[secret.text, secret.retired_ms] for secret in record.secrets]
    return json.dumps(fields | {"secrets": secrets})


def _from_value(value: bytes) -> CallbackRecord:
    revision, _, text = value.partition(b"\n")
    fields = json.loads(text)
    secrets = tuple(
        Secret(text=secret, retired_ms=retired_ms) for secret, retired_ms in fields.pop("secrets")
    )
    return CallbackRecord(**fields, secrets=secrets, revision=int(revision))
