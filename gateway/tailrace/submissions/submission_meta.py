"""What of a submission never changes, as bytes that the scripts can read too.

Big-endian: priority u8; 1 if ordered u8; digest of the body, 32 bytes; not_after u64 in ms, 0 for
none; then texts with their lengths as u16, those that the scripts need first (`read_meta` in
scripts/prelude.lua).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tailrace.submissions.keys import idempotency_digest
from tailrace.submissions.records import NewSubmission

_HEAD = struct.Struct(">BB32sQ")
_LENGTH = struct.Struct(">H")
_DIGEST_BYTES = 32
_NORMAL_PRIORITY = 2
_LOWEST_PRIORITY = 4


@dataclass(frozen=True, slots=True)
class SubmissionMeta:
    """The parts of it that the store reads back."""

    priority: int
    ordered: bool
    not_after_ms: int | None
    tenant: str
    pipeline: str
    callback_key: str
    ordering_key: str
    inline: bytes
    request_id: str
    traceparent: str
    tracestate: str


def pack_meta(submission: NewSubmission) -> bytes:
    """Returns the bytes. Raises ValueError if a part is too long, or the digest is none."""
    if len(submission.body_digest) != _DIGEST_BYTES:
        raise ValueError(f"body_digest has {len(submission.body_digest)} bytes, and needs 32")
    callback = submission.callback
    ordered = callback is not None and callback.ordered and bool(submission.ordering_key)
    texts = (
        idempotency_digest(submission.tenant, submission.idempotency_key),
        submission.tenant,
        submission.pipeline,
        callback.key if callback else "",
        submission.ordering_key,
        callback.inline if callback else b"",
        submission.request_id,
        submission.traceparent,
        submission.tracestate,
    )
    priority = min(submission.priority or _NORMAL_PRIORITY, _LOWEST_PRIORITY)
    parts = [_HEAD.pack(priority, ordered, submission.body_digest, submission.not_after_ms or 0)]
    for text in texts:
        encoded = text.encode() if isinstance(text, str) else text
        if len(encoded) > 0xFFFF:
            raise ValueError(
                "a part of a submission beside its request is longer than 65,535 bytes"
            )
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


def unpack_meta(packed: bytes) -> SubmissionMeta:
    """Returns what `pack_meta` packed."""
    priority, ordered, _, not_after_ms = _HEAD.unpack_from(packed)
    parts, offset = [], _HEAD.size
    while offset < len(packed):
        (length,) = _LENGTH.unpack_from(packed, offset)
        offset += _LENGTH.size
        parts.append(packed[offset : offset + length])
        offset += length
    _, tenant, pipeline, callback_key, ordering_key, inline, request_id, parent, state = parts
    return SubmissionMeta(
        priority,
        bool(ordered),
        not_after_ms or None,
        tenant.decode(),
        pipeline.decode(),
        callback_key.decode(),
        ordering_key.decode(),
        inline,
        request_id.decode(),
        parent.decode(),
        state.decode(),
    )
