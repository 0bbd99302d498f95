"""Which partition a submission belongs to."""

from __future__ import annotations

import hashlib


def partition_of(
    tenant: str, ordering_key: str, idempotency_key: str, partitions: int
) -> int | None:
    """Returns the partition of a submission; None if it has neither key and may go to any.

    The same in every process and version, as a submission that is repeated has to find the first.
    What has an ordering key goes by that alone: its order is kept within a partition.
    """
    if not (ordering_key or idempotency_key):
        return None
    kind, key = (b"o", ordering_key) if ordering_key else (b"i", idempotency_key)
    digest = hashlib.sha256(kind + length_prefixed(tenant, key)).digest()
    return int.from_bytes(digest[:8]) % partitions


def length_prefixed(*texts: str) -> bytes:
    """Returns texts as bytes of which no other texts are made."""
    encoded = [text.encode() for text in texts]
    return b"".join(len(part).to_bytes(4) + part for part in encoded)
