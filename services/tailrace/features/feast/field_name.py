"""The names of the fields of Feast's hashes in Redis."""

from __future__ import annotations

_MASK = 0xFFFFFFFF


def feature_field(feature_view: str, feature: str) -> bytes:
    """Returns the field that holds a feature: the hash of `view:feature`, 4 little-endian bytes."""
    return murmur3_32(f"{feature_view}:{feature}".encode()).to_bytes(4, "little")


def timestamp_field(feature_view: str) -> bytes:
    """Returns the field that holds when the features of a view were true."""
    return f"_ts:{feature_view}".encode()


def murmur3_32(data: bytes) -> int:
    """Returns the 32-bit MurmurHash3 of bytes, with seed 0.

    Source: Austin Appleby, MurmurHash3_x86_32, in the public domain.
    """
    state = 0
    whole = len(data) // 4 * 4
    for start in range(0, whole, 4):
        state ^= _scrambled(int.from_bytes(data[start : start + 4], "little"))
        state = _rotated(state, 13)
        state = (state * 5 + 0xE6546B64) & _MASK
    state ^= _scrambled(int.from_bytes(data[whole:], "little"))
    state ^= len(data)
    state = ((state ^ state >> 16) * 0x85EBCA6B) & _MASK
    state = ((state ^ state >> 13) * 0xC2B2AE35) & _MASK
    return state ^ state >> 16


def _scrambled(block: int) -> int:
    return _rotated(block * 0xCC9E2D51 & _MASK, 15) * 0x1B873593 & _MASK


def _rotated(number: int, bits: int) -> int:
    return (number << bits | number >> 32 - bits) & _MASK
