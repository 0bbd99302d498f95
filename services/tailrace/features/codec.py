"""The binary form of one stored feature row, to and from typed columns.

All numbers are little-endian; nothing is padded. V is ceil(features / 8); nF64 and so on are
the numbers of features of each type.

    offset       bytes        content
    0            1            format version: 1
    1            3            reserved: 0
    4            4            schema id, uint32: see `row_schema`
    8            8            as_of, int64: the instant at which the features were true, in
                              microseconds since 1970-01-01T00:00:00Z
    16           V            validity: feature i has a value where bit i % 8 (0 is the least
                              significant) of byte i // 8 is 1; the bits left over are 0
    16 + V       8 * nF64     float64 features
    ...          8 * nI64     int64 features
    ...          8 * nTime    timestamp features: microseconds since 1970-01-01T00:00:00Z
    ...          4 * nF32     float32 features
    ...          4 * nCat     category features, int32: the place of the value among `values`
    ...          1 * nBool    bool features: 0 or 1
    ...          per vector   its elements, as many as its length says, of its type as above
    ...          4 * nString  uint32: where each string ends in the heap; it starts where the
                              one before it ends
    ...          the rest     heap: the strings in UTF-8, exactly as long as the last end says

Features are numbered, and stored within their type, in the order of the schema: by type as
above, vectors by type and then by length, then as the view declares them. A feature without a
value is stored as zeros or empty. NaN and infinities are values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailrace.features.row_schema import FeatureGroup, RowSchema
from tailrace.runtime.columns import Array, DType

FORMAT_VERSION = 1
HEADER_BYTES = 16
MAX_ROW_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class NotKept:
    """What cannot be told of rows, as too much of what it is made of may be gone.

    Attributes:
        features: bool [features, rows], in storage order: True where a feature cannot be told.
        earliest_us: int64 [rows], the earliest instants at which all features can be told,
            microseconds since 1970.
    """

    features: NDArray[np.bool_]
    earliest_us: NDArray[np.int64]


@dataclass(slots=True, eq=False)
class DecodedRows:
    """Rows as columns. Corrupt rows hold nulls.

    Attributes:
        as_of_us: int64 [rows], microseconds since 1970.
        values: one array per group of the schema, shape [features of the group, rows], and
            [features of the group, rows, length] for vectors.
        validity: bool [features, rows], in storage order; None if every value is present.
        corrupt: what is wrong with each row that cannot be read, by row.
        absent: bool [rows], True where something is stored but nothing of it counts, which is as
            if there were no such entity; None if there is no such row.
        not_kept: what cannot be told at the instants asked for, and is null; None if there is
            nothing of the kind. Such rows are not absent.
    """

    as_of_us: NDArray[np.int64]
    values: tuple[Array, ...]
    validity: NDArray[np.bool_] | None
    corrupt: dict[int, str]
    absent: NDArray[np.bool_] | None = None
    not_kept: NotKept | None = None


class RowCodec:
    """Encodes and decodes the rows of one schema, many at a time."""

    def __init__(self, schema: RowSchema) -> None:
        """Works out where everything is."""
        self.schema = schema
        self._bitmap_bytes = -(-schema.features // 8)
        fields: list[tuple[str, Any] | tuple[str, Any, tuple[int, ...]]] = [
            ("head", "<u8"),
            ("as_of", "<i8"),
            ("validity", "u1", (self._bitmap_bytes,)),
        ]
        self._fields: list[tuple[str, FeatureGroup, Array | None]] = []
        for place, group in enumerate(schema.groups):
            shape = (len(group.names), *group.row_shape)
            fields.append((f"group{place}", _stored_type(group.dtype), shape))
            codes = np.array(group.codes, np.uint32) if group.codes else None
            self._fields.append((f"group{place}", group, codes))
        self._record = np.dtype(fields)
        self.fixed_bytes = self._record.itemsize
        self._has_strings = schema.groups[-1].dtype is DType.STRING
        # Version, reserved bytes and schema id.
        self._head = bytes((FORMAT_VERSION, 0, 0, 0)) + schema.schema_id.to_bytes(4, "little")
        all_valid = (1 << schema.features) - 1
        self._all_valid = all_valid.to_bytes(self._bitmap_bytes, "little")
        self._blank = self._head + bytes(self.fixed_bytes - len(self._head))

    def encode(
        self,
        columns: Mapping[str, Array],
        validity: Mapping[str, NDArray[np.bool_]],
        as_of_us: NDArray[np.int64],
    ) -> list[bytes]:
        """Returns one stored row per row of the columns.

        Args:
            columns: by feature name, each of shape [rows], or [rows, length] for a vector, and
                of the feature's type.
            validity: bool [rows] by feature name, False where null; a name left out has no
                nulls.
            as_of_us: int64 [rows], microseconds since 1970.
        """
        rows = len(as_of_us)
        table = np.zeros(rows, self._record)
        table["head"] = np.frombuffer(self._head, "<u8")
        table["as_of"] = as_of_us
        valid = np.ones((rows, self.schema.features), np.bool_)
        heaps: list[bytes] = []
        for field, group, _ in self._fields:
            for place, name in enumerate(group.names):
                mask = validity.get(name)
                if mask is not None:
                    valid[:, group.start + place] = mask
                if group.dtype is not DType.STRING:
                    table[field][:, place] = _zero_nulls(columns[name], mask)
            if group.dtype is DType.STRING:
                heaps = self._encode_strings(table[field], group, columns, validity)
        table["validity"] = np.packbits(valid, axis=1, bitorder="little")
        data, size = table.tobytes(), self.fixed_bytes
        fixed = [data[start : start + size] for start in range(0, len(data), size)]
        if not heaps:
            return fixed
        return [row + heap for row, heap in zip(fixed, heaps, strict=True)]

    def decode(self, rows: Sequence[bytes]) -> DecodedRows:
        """Returns the rows as columns; those that cannot be read are told in `corrupt`."""
        corrupt: dict[int, str] = {}
        decoded = self._decode_sound(rows, corrupt)
        if decoded is None:
            # Seldom: find out which rows they are, and read the others.
            sound = list(rows)
            for row, data in enumerate(rows):
                problem = self._problem(data)
                if problem:
                    corrupt[row], sound[row] = problem, self._blank
            decoded = self._decode_sound(sound, corrupt)
            assert decoded is not None, "rows without a problem can be decoded"
        return decoded

    def _decode_sound(self, rows: Sequence[bytes], corrupt: dict[int, str]) -> DecodedRows | None:
        """Returns the rows as columns, or None if any of them is corrupt."""
        size = self.fixed_bytes
        if self._has_strings:
            data = b"".join([row[:size] for row in rows])
            if len(data) != size * len(rows):
                return None
        elif set(map(len, rows)) - {size}:
            return None
        else:
            data = b"".join(rows)
        table = np.frombuffer(data, self._record)
        # Bytes against bytes: numpy takes five times as long to compare and ask `any`.
        if table["head"].tobytes() != self._head * len(rows):
            return None
        values: list[Array] = []
        for field, group, codes in self._fields:
            stored = table[field]
            if group.dtype is DType.BOOL:
                if stored.tobytes().translate(None, b"\0\1"):
                    return None
                stored = stored.view(np.bool_)
            elif group.dtype is DType.STRING:
                strings = self._decode_strings(rows, stored)
                if strings is None:
                    return None
                stored = strings
            elif codes is not None and (stored.view(np.uint32) >= codes).any():
                return None
            values.append(stored.T if group.length is None else stored.swapaxes(0, 1))
        bitmap = table["validity"]
        validity = None
        if bitmap.tobytes() != self._all_valid * len(rows):
            if (bitmap & ~np.frombuffer(self._all_valid, np.uint8)).any():
                return None
            bits = np.unpackbits(bitmap, axis=1, count=self.schema.features, bitorder="little")
            validity = bits.T != 0
        return DecodedRows(table["as_of"], tuple(values), validity, corrupt)

    def _problem(self, row: bytes) -> str:
        """Returns what is wrong with a row, or an empty string."""
        if len(row) < HEADER_BYTES:
            return f"{len(row)} bytes, too few for a header"
        if row[0] != FORMAT_VERSION:
            return f"format version {row[0]}, expected {FORMAT_VERSION}"
        found = int.from_bytes(row[4:8], "little")
        if found != self.schema.schema_id:
            return f"schema {found:08x}, expected {self.schema.schema_id:08x}"
        if len(row) < self.fixed_bytes or (len(row) > self.fixed_bytes and not self._has_strings):
            at_least = "at least " if self._has_strings else ""
            return f"{len(row)} bytes, expected {at_least}{self.fixed_bytes}"
        if self._decode_sound([row], {}) is None:
            return "its reserved bytes, booleans, categories or strings contradict the format"
        return ""

    def _encode_strings(
        self,
        table_ends: Array,
        group: FeatureGroup,
        columns: Mapping[str, Array],
        validity: Mapping[str, NDArray[np.bool_]],
    ) -> list[bytes]:
        encoded: list[list[bytes]] = []
        ends = np.zeros(len(table_ends), np.uint32)
        for place, name in enumerate(group.names):
            texts: list[str] = columns[name].tolist()
            mask = validity.get(name)
            if mask is not None:
                texts = [text if kept else "" for text, kept in zip(texts, mask, strict=True)]
            encoded.append([text.encode() for text in texts])
            ends = ends + np.array([len(text) for text in encoded[-1]], np.uint32)
            table_ends[:, place] = ends
        return [b"".join(texts) for texts in zip(*encoded, strict=True)]

    def _decode_strings(self, rows: Sequence[bytes], ends: Array) -> Array | None:
        """Returns object [rows, strings], or None if any row's ends or text are wrong."""
        size = self.fixed_bytes
        heap_bytes = np.array([len(row) for row in rows]) - size
        if (ends[:, -1] != heap_bytes).any() or (ends[:, 1:] < ends[:, :-1]).any():
            return None
        texts: list[str] = []
        try:
            if ends.shape[1] == 1:
                texts = [row[size:].decode() for row in rows]
            else:
                for row, row_ends in zip(rows, ends.tolist(), strict=True):
                    start = size
                    for end in row_ends:
                        texts.append(row[start : size + end].decode())
                        start = size + end
        except UnicodeDecodeError:
            return None
        strings = np.empty(len(texts), object)
        strings[:] = texts
        return strings.reshape(ends.shape)


def _stored_type(dtype: DType) -> str:
    if dtype is DType.STRING:
        return "<u4"
    return "u1" if dtype is DType.BOOL else dtype.numpy.str


def _zero_nulls(column: Array, mask: NDArray[np.bool_] | None) -> Array:
    if mask is None:
        return column
    return np.where(mask if column.ndim == 1 else mask[:, np.newaxis], column, 0)
