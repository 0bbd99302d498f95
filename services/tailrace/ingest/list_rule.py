"""What a request field must hold that is a list, and how it is read from many requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace.ingest.field_rules import Failures, FieldRule
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.errors import InvalidField, InvalidTensor
from tailrace.runtime.value_kinds import KIND_NAMES
from tailrace.runtime.wire import dtype_number, tensor_to_array
from tailrace.v1 import tensor_pb2

_ITEM_NAMES = {DType.STRING: "strings", DType.INT64: "int64"}


@dataclass(frozen=True, slots=True)
class ListRule(FieldRule):
    """A list of values of one type.

    `shape` holds the most items; `dtype` is that of an item. A list that is missing is empty.

    Attributes:
        item: what each item must hold.
    """

    item: FieldRule | None = None

    @property
    def max_items(self) -> int:
        """Most items."""
        return self.shape[0]

    def padded(self, lists: Sequence[Array], failures: Failures) -> tuple[Array, NDArray[np.int64]]:
        """Returns the lists [rows, max_items], filled up with blanks, and their lengths [rows].

        Args:
            lists: of each row, of the column's type, not longer than allowed.
            failures: by row; gets an error for each list with a bad item. A row's first error
                stays.
        """
        assert self.item is not None, "every rule of a list has one"
        lengths = np.array([len(items) for items in lists], np.int64)
        values = np.full((len(lists), self.max_items), self.blank, self.dtype.numpy)
        if lengths.any():
            flat = np.concatenate(lists)
            values[np.arange(self.max_items) < lengths[:, np.newaxis]] = flat
            self._check_items(self.item, flat, lengths, failures)
        return values, lengths

    def _check_items(
        self, item: FieldRule, flat: Array, lengths: NDArray[np.int64], failures: Failures
    ) -> None:
        for bad, message in item.refusals(flat):
            if not bad.any():
                continue
            starts = np.cumsum(lengths) - lengths
            rows = np.repeat(np.arange(len(lengths)), lengths)
            for place in np.flatnonzero(bad).tolist():
                row = int(rows[place])
                number = place - int(starts[row])
                failures.setdefault(row, self.item_error(number, message))

    def item_error(self, number: int, message: str) -> InvalidField:
        """Returns an error that names this field and one of its items, counted from 0."""
        return InvalidField(
            f"field {self.name!r}: item {number}: {message}", field=f"{self.path}[{number}]"
        )


class ListReader:
    """Reads one field, a list, of all rows."""

    def __init__(self, rule: ListRule) -> None:
        """Prepares to read the field of this rule."""
        self._rule = rule
        self._wire_type = dtype_number(rule.dtype)
        self._expected = f"a list of {_ITEM_NAMES[rule.dtype]}"
        self._empty = np.empty(0, rule.dtype.numpy)

    def read(
        self,
        requests: Sequence[Mapping[str, tensor_pb2.Value]],
        absent: list[int],
        failures: Failures,
    ) -> tuple[Array, NDArray[np.int64]]:
        """Returns the lists [rows, max_items], filled up with blanks, and their lengths [rows].

        Args:
            requests: the fields of each row.
            absent: by row, counted up where the field is not there at all.
            failures: by row; gets an error for each list that is not as it should be.
        """
        rule = self._rule
        lists: list[Array] = []
        for row, fields in enumerate(requests):
            value = fields.get(rule.name)
            items = self._empty
            if value is None:
                absent[row] += 1
            kind = None if value is None else value.WhichOneof("kind")
            if value is None or kind is None:
                if rule.required:
                    error = rule.error("found nothing, but it is required")
                    failures.setdefault(row, error)
            elif kind == "tensor_value":
                try:
                    items = self._items(value.tensor_value)
                except (InvalidField, InvalidTensor) as refused:
                    failures.setdefault(row, refused)
            else:
                found = f"found {KIND_NAMES[kind]}, expected {self._expected}"
                failures.setdefault(row, rule.error(found))
            lists.append(items)
        return rule.padded(lists, failures)

    def _items(self, tensor: tensor_pb2.Tensor) -> Array:
        rule = self._rule
        dimensions = len(tensor.shape)
        if dimensions != 1:
            found = f"found a tensor of {dimensions} dimensions, expected {self._expected}"
            raise rule.error(found)
        # Before any item is looked at: there may be very many.
        if tensor.shape[0] > rule.max_items:
            raise rule.error(f"found {tensor.shape[0]} items, expected at most {rule.max_items}")
        if tensor.dtype != self._wire_type:
            if tensor.shape[0] == 0:
                return self._empty
            if tensor.dtype in tensor_pb2.DataType.values():
                name = tensor_pb2.DataType.Name(tensor.dtype).removeprefix("DATA_TYPE_").lower()
                raise rule.item_error(0, f"found {name}, expected {self._expected}")
        return tensor_to_array(tensor, rule.path)[1]
