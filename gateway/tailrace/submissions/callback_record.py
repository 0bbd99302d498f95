"""Registered callbacks, as the queue keeps them and as the courier needs them, secrets included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackRecord:
    """A registered callback.

    Attributes:
        secrets: newest first, each with when it is retired in ms since 1970, or None; never logged.
        target: `https://…`, `http://…`, `grpcs://HOST:PORT` or `grpc://HOST:PORT`.
        scheme: 1 HMAC-SHA256, 2 ed25519, as `tailrace.v1.SignatureScheme`.
        attempt_timeout_ms, max_in_flight, max_batch: 0 means the courier's setting, or 1.
        disabled_reason: empty if it is enabled.
        revision: grows with every change.
    """

    tenant: str
    name: str
    target: str
    scheme: int
    secrets: tuple[Secret, ...]
    attempt_timeout_ms: int
    max_in_flight: int
    max_batch: int
    ordered: bool
    disabled_reason: str
    created_ms: int
    updated_ms: int
    revision: int

    @property
    def key(self) -> str:
        """What its deliveries are grouped by."""
        return f"{self.tenant}/{self.name}"

    @property
    def enabled(self) -> bool:
        """Whether results are pushed to it."""
        return not self.disabled_reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One secret of a callback.

    Attributes:
        text: `whsec_…` or `whsk_…`; not shown by repr.
        retired_ms: from when on it signs nothing, or None.
    """

    text: str
    retired_ms: int | None = None

    def __repr__(self) -> str:
        """Hides the secret."""
        return f"Secret(retired_ms={self.retired_ms})"


class CallbackStore(Protocol):
    """Where callbacks are kept; all may raise `QueueUnavailable`."""

    async def create(self, record: CallbackRecord) -> None:
        """Keeps a new one. Raises AlreadyExists (CALLBACK_EXISTS)."""
        ...

    async def replace(self, record: CallbackRecord) -> CallbackRecord:
        """Replaces the one of the same tenant and name and revision; returns it as it then is.

        Raises:
            NotFound: there is none (CALLBACK_NOT_FOUND).
            Aborted: it was changed meanwhile: its revision is another.
        """
        ...

    async def delete(self, tenant: str, name: str) -> None:
        """Deletes one. Raises NotFound (CALLBACK_NOT_FOUND)."""
        ...

    async def find(self, tenant: str, name: str) -> CallbackRecord | None:
        """Returns one as it is kept now, or None."""
        ...

    async def all(self) -> Mapping[str, CallbackRecord]:
        """Returns all, by key."""
        ...

    async def revision(self) -> int:
        """Returns a number that grows with every change of any callback."""
        ...
