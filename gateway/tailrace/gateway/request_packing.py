"""Requests as elements of the message for ingest, without taking them apart.

A `PredictRequest` can be read as a `RequestFields` (`tailrace/v1/ingest_service.proto`). In the
wire format an element of a repeated message field is its tag, its length as a varint, and its
bytes; source: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.v1 import ingest_service_pb2

_LENGTH_DELIMITED = 2
_FIELD = ingest_service_pb2.PreprocessRequest.DESCRIPTOR.fields_by_name["requests"].number
_TAG = bytes([_FIELD << 3 | _LENGTH_DELIMITED])


def pack_requests(requests: Sequence[bytes]) -> bytes:
    """Returns serialised requests as the field `requests` of a serialised `PreprocessRequest`."""
    parts: list[bytes] = []
    for request in requests:
        parts += (_TAG, _varint(len(request)), request)
    return b"".join(parts)


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    groups = []
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*groups, number))
