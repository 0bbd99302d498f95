"""What of a submission never changes, as bytes that the scripts can read too.

Big-endian. Before it, the scripts put when it was made and when it expires, each as u64 in ms. Then
priority u8; 1 if ordered u8; not_after u64 in ms, 0 for none; digest of the body, 32 bytes; the
name of the idempotency record, 24 bytes, zeros for none; then texts with their lengths as u16,
those that the scripts read first (`read_meta` in scripts/prelude.lua).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tailrace.submissions.keys import idempotency_digest
from tailrace.submissions.records import NewSubmission

_TIMES = struct.Struct(">QQ")
_HEAD = struct.Struct(">BBQ32s24s")
_LENGTH = struct.Struct(">H")
_DIGEST_BYTES = 32
_NORMAL_PRIORITY = 2
_LOWEST_PRIORITY = 4


@dataclass(slots=True)
class SubmissionMeta:
    """The parts of it that the store reads back; not frozen, as it is made for every row."""

    created_ms: int
    priority: int
    not_after_ms: int | None
    tenant: str
    pipeline: str
    callback_key: str
    ordering_key: str
    request_id: str
    inline: bytes
    traceparent: str
    tracestate: str


def pack_meta(submission: NewSubmission) -> bytes:
    """Returns the bytes. Raises ValueError if a part is too long, or the digest is none."""
    if len(submission.body_digest) != _DIGEST_BYTES:
        raise ValueError(f"body_digest has {len(submission.body_digest)} bytes, and needs 32")
    callback = submission.callback
    ordered = callback is not None and callback.ordered and bool(submission.ordering_key)
    texts = (
        submission.tenant,
        submission.pipeline,
        callback.key if callback else "",
        submission.ordering_key,
        submission.request_id,
        callback.inline if callback else b"",
        submission.traceparent,
        submission.tracestate,
    )
    priority = min(submission.priority or _NORMAL_PRIORITY, _LOWEST_PRIORITY)
    head = _HEAD.pack(
        priority,
        ordered,
        submission.not_after_ms or 0,
        submission.body_digest,
        idempotency_digest(submission.tenant, submission.idempotency_key).encode(),
    )
    parts = [head]
    for text in texts:
        encoded = text.encode() if isinstance(text, str) else text
        if len(encoded) > 0xFFFF:
            raise ValueError(
                "a part of a submission beside its request is longer than 65,535 bytes"
            )
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


def unpack_meta(packed: bytes) -> SubmissionMeta:
    """Returns what `pack_meta` packed, with the times before it."""
    created_ms, _ = _TIMES.unpack_from(packed)
    priority, _, not_after_ms, _, _ = _HEAD.unpack_from(packed, _TIMES.size)
    parts, offset, end = [], _TIMES.size + _HEAD.size, len(packed)
    while offset < end:
        start = offset + 2
        offset = start + (packed[offset] << 8 | packed[offset + 1])
        parts.append(packed[start:offset])
    tenant, pipeline, callback_key, ordering_key, request_id, inline, parent, state = parts
    return SubmissionMeta(
        created_ms,
        priority,
        not_after_ms or None,
        tenant.decode(),
        pipeline.decode(),
        callback_key.decode(),
        ordering_key.decode(),
        request_id.decode(),
        inline,
        parent.decode(),
        state.decode(),
    )
