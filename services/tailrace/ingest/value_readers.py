"""Readers of one field from many requests: the one place that knows `tailrace.v1.Value`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

import numpy as np

from tailrace.ingest.field_rules import Failures, FieldRule
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import InvalidTensor
from tailrace.runtime.timestamps import MAX_TIMESTAMP_S, MIN_TIMESTAMP_S, NS_PER_US, US_PER_S
from tailrace.runtime.value_kinds import KIND_NAMES
from tailrace.runtime.wire import tensor_to_array
from tailrace.v1 import tensor_pb2

_KINDS = {
    DType.STRING: "string_value",
    DType.INT64: "int64_value",
    DType.FLOAT64: "double_value",
    DType.BOOL: "bool_value",
    DType.BYTES: "bytes_value",
}
_TIMESTAMP, _SECONDS, _NANOS = map(attrgetter, ("timestamp_value", "seconds", "nanos"))


class ValueReader(Protocol):
    """Reads one field of all rows."""

    def quick(self, requests: Sequence[Mapping[str, tensor_pb2.Value]]) -> Array | None:
        """Returns the values [rows], if all rows have one and it is good; None if not.

        Most batches end here: the checks are of the whole list at once.

        Args:
            requests: the fields of each row; at least one.
        """
        ...

    def __call__(
        self,
        requests: Sequence[Mapping[str, tensor_pb2.Value]],
        absent: list[int],
        failures: Failures,
    ) -> tuple[Array, list[int]]:
        """Returns the values [rows, ...], blank where there is none, and the rows without one.

        Args:
            requests: the fields of each row.
            absent: by row, counted up where the field is not there at all.
            failures: by row; gets an error for each value of the wrong type or form.
        """
        ...


def value_reader(rule: FieldRule) -> ValueReader:
    """Returns the reader for a field."""
    if rule.shape:
        return _TensorReader(rule)
    if rule.dtype is DType.TIMESTAMP:
        return _TimestampReader(rule)
    return _ScalarReader(rule, _KINDS[rule.dtype])


class _ScalarReader:
    def __init__(self, rule: FieldRule, kind: str) -> None:
        self._rule = rule
        self._kind = kind
        self._get = attrgetter(kind)

    def quick(self, requests: Sequence[Mapping[str, tensor_pb2.Value]]) -> Array | None:
        rule, name = self._rule, self._rule.name
        found = [fields.get(name) for fields in requests]
        try:
            values = list(map(self._get, found))
        except AttributeError:  # of None: a row without the field
            return None
        # What is not the type's default must have been set.
        if not all(values) and not _all_are(self._kind, found):
            return None
        if not rule.accepts(values):
            return None
        if rule.dtype.is_ragged:
            return _objects(values)
        return np.array(values, rule.dtype.numpy)

    def __call__(
        self,
        requests: Sequence[Mapping[str, tensor_pb2.Value]],
        absent: list[int],
        failures: Failures,
    ) -> tuple[Array, list[int]]:
        name, kind, blank = self._rule.name, self._kind, self._rule.blank
        values: list[Any] = []
        missing: list[int] = []
        for row, fields in enumerate(requests):
            value = fields.get(name)
            if value is None:
                absent[row] += 1
                missing.append(row)
                values.append(blank)
                continue
            found = getattr(value, kind)
            # What is not the type's default must have been set: most values end here.
            if not found:
                other = value.WhichOneof("kind")
                if other is None:
                    missing.append(row)
                    found = blank
                elif other != kind:
                    found = self._other(value, other, row, failures)
            values.append(found)
        if self._rule.dtype.is_ragged:
            return _objects(values), missing
        return np.array(values, dtype=self._rule.dtype.numpy), missing

    def _other(self, value: tensor_pb2.Value, kind: str, row: int, failures: Failures) -> Any:
        # JSON has one kind of number: a whole one may stand for a double, if nothing is lost.
        if kind == "int64_value" and self._kind == "double_value":
            if int(float(value.int64_value)) == value.int64_value:
                return float(value.int64_value)
            message = "found an int64 that no double equals, expected a double"
            failures.setdefault(row, self._rule.error(message))
        else:
            _wrong_kind(self._rule, kind, self._kind, row, failures)
        return self._rule.blank


class _TimestampReader:
    def __init__(self, rule: FieldRule) -> None:
        self._rule = rule

    def quick(self, requests: Sequence[Mapping[str, tensor_pb2.Value]]) -> Array | None:
        name = self._rule.name
        found = [fields.get(name) for fields in requests]
        try:
            instants = list(map(_TIMESTAMP, found))
        except AttributeError:  # of None: a row without the field
            return None
        seconds = list(map(_SECONDS, instants))
        nanos = list(map(_NANOS, instants))
        if min(nanos) < 0 or max(nanos) >= 1_000_000_000:
            return None
        if min(seconds) < MIN_TIMESTAMP_S or max(seconds) > MAX_TIMESTAMP_S:
            return None
        if not all(seconds) and not _all_are("timestamp_value", found):
            return None
        values = [
            second * US_PER_S + nano // NS_PER_US
            for second, nano in zip(seconds, nanos, strict=True)
        ]
        return np.array(values, np.int64) if self._rule.accepts(values) else None

    def __call__(
        self,
        requests: Sequence[Mapping[str, tensor_pb2.Value]],
        absent: list[int],
        failures: Failures,
    ) -> tuple[Array, list[int]]:
        name = self._rule.name
        values = [0] * len(requests)
        missing: list[int] = []
        for row, fields in enumerate(requests):
            value = fields.get(name)
            if value is None:
                absent[row] += 1
                missing.append(row)
                continue
            kind = value.WhichOneof("kind")
            if kind == "timestamp_value":
                instant = value.timestamp_value
                seconds, nanos = instant.seconds, instant.nanos
                if MIN_TIMESTAMP_S <= seconds <= MAX_TIMESTAMP_S and 0 <= nanos < 1_000_000_000:
                    values[row] = seconds * US_PER_S + nanos // NS_PER_US
                else:
                    message = "found a timestamp out of range, expected years 1 to 9999"
                    failures.setdefault(row, self._rule.error(message))
            elif kind is None:
                missing.append(row)
            else:
                _wrong_kind(self._rule, kind, "timestamp_value", row, failures)
        return np.array(values, dtype=np.int64), missing


class _TensorReader:
    def __init__(self, rule: FieldRule) -> None:
        self._rule = rule
        self._wire_type = tensor_pb2.DataType.Value(f"DATA_TYPE_{rule.dtype.name}")

    def quick(self, requests: Sequence[Mapping[str, tensor_pb2.Value]]) -> Array | None:
        return None

    def __call__(
        self,
        requests: Sequence[Mapping[str, tensor_pb2.Value]],
        absent: list[int],
        failures: Failures,
    ) -> tuple[Array, list[int]]:
        name = self._rule.name
        found: list[tuple[int, Array]] = []
        missing: list[int] = []
        for row, fields in enumerate(requests):
            value = fields.get(name)
            if value is None:
                absent[row] += 1
                missing.append(row)
                continue
            kind = value.WhichOneof("kind")
            if kind == "tensor_value":
                try:
                    found.append((row, self._array(value.tensor_value)))
                except InvalidTensor as error:
                    failures.setdefault(row, error)
            elif kind is None:
                missing.append(row)
            else:
                _wrong_kind(self._rule, kind, "tensor_value", row, failures)
        values = np.zeros((len(requests), *self._rule.shape), self._rule.dtype.numpy)
        for row, array in found:
            values[row] = array
        return values, missing

    def _array(self, tensor: tensor_pb2.Tensor) -> Array:
        # The type first: text would be decoded before anyone asked whether it is wanted.
        if tensor.dtype != self._wire_type and tensor.dtype in tensor_pb2.DataType.values():
            found = tensor_pb2.DataType.Name(tensor.dtype).removeprefix("DATA_TYPE_").lower()
            raise self._wrong(f"found dtype {found}, expected {self._rule.dtype.value}", "dtype")
        _, array = tensor_to_array(tensor, self._rule.path)
        if array.shape != self._rule.shape:
            expected = list(self._rule.shape)
            raise self._wrong(f"found shape {list(array.shape)}, expected {expected}", "shape")
        return array

    def _wrong(self, message: str, part: str) -> InvalidTensor:
        return InvalidTensor(
            f"field {self._rule.name!r}: {message}", field=f"{self._rule.path}.{part}"
        )


def _all_are(kind: str, values: Sequence[Any]) -> bool:
    return all([value.WhichOneof("kind") == kind for value in values])


def _objects(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _wrong_kind(rule: FieldRule, found: str, expected: str, row: int, failures: Failures) -> None:
    message = f"found {KIND_NAMES[found]}, expected {KIND_NAMES[expected]}"
    failures.setdefault(row, rule.error(message))
