"""The keys and the features of a view."""

from __future__ import annotations

import math
import sys
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.aggregate import Aggregate
from tailrace.runtime.pipeline.base import ColumnName, Misfit, SpecModel, shown
from tailrace.runtime.pipeline.duration import Duration

KEY_DTYPES = {
    "string": DType.STRING,
    "int64": DType.INT64,
    "bool": DType.BOOL,
    "timestamp": DType.TIMESTAMP,
}
FEATURE_DTYPES = {
    "float32": DType.FLOAT32,
    "float64": DType.FLOAT64,
    "int64": DType.INT64,
    "bool": DType.BOOL,
    "string": DType.STRING,
    "timestamp": DType.TIMESTAMP,
    "category": DType.INT32,
}
NOT_IN_VALUES = -1
"""Code of a category's value that is missing, where no default says otherwise."""

_ZERO: dict[str, float | int | bool | str] = {
    "float32": 0.0, "float64": 0.0, "int64": 0, "bool": False, "string": "", "timestamp": 0,
    "category": NOT_IN_VALUES,
}  # fmt: skip
_EXPECTED: dict[str, tuple[type, ...]] = {
    "float32": (float, int), "float64": (float, int), "int64": (int,), "bool": (bool,),
    "string": (str,), "timestamp": (datetime,), "category": (str,),
}  # fmt: skip
_MAX_FLOAT32 = (2 - 2**-23) * 2.0**127
_RANGES: dict[str, tuple[float, float]] = {
    "int64": (-(2**63), 2**63 - 1),
    "float32": (-_MAX_FLOAT32, _MAX_FLOAT32),
    "float64": (-sys.float_info.max, sys.float_info.max),
}
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class EntityKey(SpecModel):
    """One part of the key of an entity."""

    name: ColumnName
    type: Literal["string", "int64", "bool", "timestamp"] = "string"
    granularity: Duration | None = None

    @model_validator(mode="after")
    def _granularity_for_timestamps(self) -> EntityKey:
        if self.granularity is not None and self.type != "timestamp":
            expected = "none, as only keys of type timestamp have one"
            raise Misfit("a granularity", expected, at=".granularity")
        if self.granularity is not None and self.granularity < timedelta(microseconds=1):
            raise Misfit(f"{self.granularity}", "at least a microsecond", at=".granularity")
        return self

    @property
    def dtype(self) -> DType:
        """The type of the key's column."""
        return KEY_DTYPES[self.type]


class Feature(SpecModel):
    """One feature.

    Attributes:
        name: of the feature.
        type: of its values. A category is stored, and looked up, as an int32: the place of its
            value in `values`.
        length: elements of a vector, which is looked up with the shape [rows, length]; None for
            a single value.
        values: what a category may be. Rows stored before it was changed are not read.
        default: what stands in for a missing value; each element of a vector.
        description: what it means.
        unit: of its values.
        owner: who answers for it; by default, who answers for the view.
        tags: words to find it by.
        aggregate: how it is made of events; in views whose source are events.
    """

    name: ColumnName
    type: Literal["float32", "float64", "int64", "bool", "string", "timestamp", "category"]
    length: int | None = Field(default=None, ge=1, le=65_536)
    values: list[str] | None = Field(default=None, min_length=1, max_length=65_536)
    default: bool | int | float | datetime | str | None = None
    description: str = ""
    unit: str = ""
    owner: str = ""
    tags: list[str] = []
    aggregate: Aggregate | None = None

    @property
    def dtype(self) -> DType:
        """The type of the feature's column."""
        return FEATURE_DTYPES[self.type]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row's value: empty, or the length of the vector."""
        return () if self.length is None else (self.length,)

    @property
    def default_value(self) -> float | int | bool | str:
        """What stands in for a missing value as its column holds it: the default, else zero.

        Text is empty, instants are microseconds since 1970, categories the number of a value.
        """
        if self.default is None:
            return _ZERO[self.type]
        if isinstance(self.default, datetime):
            return (self.default - _EPOCH) // timedelta(microseconds=1)
        if self.type == "category":
            assert self.values is not None, "checked"
            return self.values.index(str(self.default))
        return self.default

    @model_validator(mode="after")
    def _default_fits(self) -> Feature:
        value: Any = self.default
        is_bool_by_mistake = isinstance(value, bool) and self.type != "bool"
        if value is None:
            return self
        if is_bool_by_mistake or not isinstance(value, _EXPECTED[self.type]):
            raise Misfit(shown(value), f"a value of type {self.type}", at=".default")
        if isinstance(value, datetime) and value.tzinfo is None:
            expected = "an instant with its offset, such as 2013-01-01T05:00:00Z"
            raise Misfit(shown(value), expected, at=".default")
        if self.type == "category" and self.values and value not in self.values:
            raise Misfit(shown(value), "one of its values", at=".default")
        if not _is_in_range(self.type, value):
            raise Misfit(shown(value), f"a value that {self.type} can hold", at=".default")
        return self

    @model_validator(mode="after")
    def _shape_fits(self) -> Feature:
        if (self.values is not None) != (self.type == "category"):
            found = "nothing" if self.values is None else "a list of values"
            raise Misfit(found, "values for a category, and for nothing else", at=".values")
        if self.values is not None and len(set(self.values)) != len(self.values):
            raise Misfit("a value again", "each value once", at=".values")
        if self.length is not None and self.type not in ("float32", "float64", "int64", "bool"):
            raise Misfit(f"a vector of type {self.type}", "a vector of numbers", at=".length")
        return self


def _is_in_range(type_name: str, value: Any) -> bool:
    if type_name not in _RANGES or (isinstance(value, float) and not math.isfinite(value)):
        return True
    least, most = _RANGES[type_name]
    return bool(least <= value <= most)
