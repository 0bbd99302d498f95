"""Names of the keys in the queue Redis; the layout is in docs/submissions.md."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from tailrace.submissions.partitions import length_prefixed


@dataclass(frozen=True, slots=True)
class QueueKeys:
    """Keys and channels under one prefix."""

    prefix: str

    def partition(self, partition: int) -> str:
        """Returns what all keys of a partition begin with; the scripts add the rest."""
        return f"{self.prefix}:{{q{partition}}}:"

    @property
    def callbacks(self) -> str:
        """Registered callbacks."""
        return f"{self.prefix}:{{callbacks}}"

    @property
    def partitions(self) -> str:
        """How many partitions there are."""
        return f"{self.prefix}:partitions"

    @property
    def predictions(self) -> str:
        """The output stream."""
        return f"{self.prefix}:predictions"

    @property
    def queued_channel(self) -> str:
        """Told when submissions are queued."""
        return f"{self.prefix}:queued"

    @property
    def due_channel(self) -> str:
        """Told when deliveries become due."""
        return f"{self.prefix}:due"


def idempotency_digest(tenant: str, idempotency_key: str) -> str:
    """Returns what an idempotency record is kept under; empty without a key."""
    if not idempotency_key:
        return ""
    digest = hashlib.sha256(length_prefixed(tenant, idempotency_key)).digest()
    return base64.urlsafe_b64encode(digest[:18]).decode()
