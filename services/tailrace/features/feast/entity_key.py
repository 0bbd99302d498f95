"""The names of Feast's hashes in Redis: its serialised entity keys, version 3.

All numbers are little-endian; types are numbers of Feast's `ValueType`. Join keys are sorted by
name, and their values follow in the same order.

    bytes             content
    4                 number of join keys
    per join key      4: type of its name, string; 4: bytes of its name; its name in UTF-8
    per join key      4: type of its value; 4: bytes of its value; its value: UTF-8 text, an
                      int32, an int64, or seconds since 1970 as int64
    the rest          the project in UTF-8
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence

from tailrace.features.entity_key import SEPARATOR
from tailrace.runtime.pipeline.feature_view import EntityKey, FeatureView
from tailrace.runtime.pipeline.view_source import FeastSource

_STRING, _INT32, _INT64, _UNIX_TIMESTAMP = 2, 3, 4, 8
_US_PER_S = 1_000_000
_LONG = struct.Struct("<IIq").pack
_INT32_RANGE = range(-(2**31), 2**31)

_WriteValue = Callable[[str], bytes | None]

# A part of a composite key: anything but the separator, which may stand after a backslash.
_PART = re.compile(r"((?:[^\\|]|\\.)*)(?:\||$)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class FeastKeys:
    """Writes the keys of one view as Feast does."""

    def __init__(self, view: FeatureView, source: FeastSource) -> None:
        """Works out what all keys begin and end with."""
        join_keys = [source.join_keys.get(key.name, key.name) for key in view.keys]
        self._order = sorted(range(len(join_keys)), key=join_keys.__getitem__)
        names = [join_keys[place].encode() for place in self._order]
        named = b"".join(struct.pack("<II", _STRING, len(name)) + name for name in names)
        self._start = struct.pack("<I", len(names)) + named
        self._end = source.project.encode()
        self._write = [_value_writer(key, key.name in source.int32_keys) for key in view.keys]

    def encode(self, text: str) -> bytes | None:
        """Returns a key, or None for one that Feast cannot have.

        Args:
            text: the key as `KeyEncoder` writes it.
        """
        if len(self._write) == 1:
            value = self._write[0](text)
            return None if value is None else self._start + value + self._end
        parts = _parts(text)
        values = [self._write[place](parts[place]) for place in self._order]
        sound = [value for value in values if value is not None]
        if len(sound) < len(values):
            return None
        return b"".join((self._start, *sound, self._end))


def _value_writer(key: EntityKey, is_int32: bool) -> _WriteValue:
    if key.type == "string":
        return _write_string
    if key.type == "timestamp":
        return lambda text: _LONG(_UNIX_TIMESTAMP, 8, int(text) // _US_PER_S)
    if is_int32:
        return _write_int32
    return lambda text: _LONG(_INT64, 8, int(text))


def _write_string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<II", _STRING, len(data)) + data


def _write_int32(text: str) -> bytes | None:
    value = int(text)
    return struct.pack("<IIi", _INT32, 4, value) if value in _INT32_RANGE else None


def _parts(text: str) -> Sequence[str]:
    if "\\" not in text:
        return text.split(SEPARATOR)
    parts: list[str] = []
    end = -1
    while end < len(text):
        match = _PART.match(text, end + 1)
        assert match is not None, "every text begins with a part, which may be empty"
        parts.append(_ESCAPED.sub(r"\1", match[1]))
        end = match.end(1)
    return parts
