"""Readers of one field from many requests: the one place that knows `tailrace.v1.Value`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tailrace.ingest.field_rules import Failures, FieldRule
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import InvalidTensor
from tailrace.runtime.timestamps import MAX_TIMESTAMP_S, MIN_TIMESTAMP_S, NS_PER_US, US_PER_S
from tailrace.runtime.wire import tensor_to_array
from tailrace.v1 import tensor_pb2

_KIND_NAMES = {
    "string_value": "a string",
    "int64_value": "an int64",
    "double_value": "a double",
    "bool_value": "a bool",
    "timestamp_value": "a timestamp",
    "bytes_value": "bytes",
    "tensor_value": "a tensor",
}
_KINDS = {
    DType.STRING: "string_value",
    DType.INT64: "int64_value",
    DType.FLOAT64: "double_value",
    DType.BOOL: "bool_value",
    DType.BYTES: "bytes_value",
}


class ValueReader(Protocol):
    """Reads one field of all rows."""

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
            array = np.empty(len(values), dtype=object)
            array[:] = values
            return array, missing
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


def _wrong_kind(rule: FieldRule, found: str, expected: str, row: int, failures: Failures) -> None:
    message = f"found {_KIND_NAMES[found]}, expected {_KIND_NAMES[expected]}"
    failures.setdefault(row, rule.error(message))
