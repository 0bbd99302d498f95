"""Feature-view files: the features of one entity."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.base import ColumnName, Misfit, Name, SpecModel, shown

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_duration(value: object) -> timedelta:
    """Returns a timedelta for text such as `250ms`, `30s`, `5m`, `24h`, `30d`.

    Raises:
        Misfit: the text is not of that form, or longer than a timedelta can be.
    """
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", str(value))
    if match is None:
        raise Misfit(shown(value), "a duration such as 250ms, 30s, 5m, 24h or 30d")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])
    except OverflowError as error:
        raise Misfit(shown(value), "a duration below a million years") from error


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]

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
}
_ZERO: dict[str, float | int | bool | str] = {
    "float32": 0.0, "float64": 0.0, "int64": 0, "bool": False, "string": "",
}  # fmt: skip


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
    """One feature."""

    name: ColumnName
    type: Literal["float32", "float64", "int64", "bool", "string"]
    default: bool | int | float | str | None = None
    description: str = ""
    unit: str = ""

    @property
    def dtype(self) -> DType:
        """The type of the feature's column."""
        return FEATURE_DTYPES[self.type]

    @property
    def default_value(self) -> float | int | bool | str:
        """What stands in for a missing value: the default, else zero or empty."""
        return _ZERO[self.type] if self.default is None else self.default

    @model_validator(mode="after")
    def _default_fits(self) -> Feature:
        expected: dict[str, tuple[type, ...]] = {
            "float32": (float, int), "float64": (float, int), "int64": (int,), "bool": (bool,),
            "string": (str,),
        }  # fmt: skip
        value = self.default
        is_bool_by_mistake = isinstance(value, bool) and self.type != "bool"
        if value is not None and (is_bool_by_mistake or not isinstance(value, expected[self.type])):
            raise Misfit(shown(value), f"a value of type {self.type}", at=".default")
        return self


class FeatureView(SpecModel):
    """A named group of features of one entity."""

    view: Name
    description: str = ""
    entity: Name
    keys: list[EntityKey] = Field(min_length=1, max_length=8)
    features: list[Feature] = Field(min_length=1, max_length=1000)
    max_age: Duration | None = None
    on_missing: Literal["default", "flag", "fail"] = "default"
    on_stale: Literal["default", "flag", "fail"] = "default"
    owner: str = ""
    tags: list[str] = []

    @model_validator(mode="after")
    def _names_are_distinct(self) -> FeatureView:
        seen = set(self.flag_names())
        for place, feature in enumerate(self.features):
            if feature.name in self.flag_names():
                expected = f"another name: on_{feature.name}: flag makes a column of this one"
                raise Misfit(shown(feature.name), expected, at=f".features[{place}].name")
            if feature.name in seen:
                found = f"{shown(feature.name)} again"
                raise Misfit(found, "each feature once", at=f".features[{place}].name")
            seen.add(feature.name)
        keys: set[str] = set()
        for place, key in enumerate(self.keys):
            if key.name in keys:
                raise Misfit(f"{shown(key.name)} again", "each key once", at=f".keys[{place}].name")
            keys.add(key.name)
        return self

    def flag_names(self) -> list[str]:
        """Returns the names of the flag features that the policies add: missing, stale."""
        flags = []
        if self.on_missing == "flag":
            flags.append("missing")
        if self.on_stale == "flag":
            flags.append("stale")
        return flags

    def columns(self) -> list[tuple[str, DType]]:
        """Returns the feature columns, `<view>.<feature>`, flags last, with their types."""
        columns = [(f"{self.view}.{feature.name}", feature.dtype) for feature in self.features]
        return columns + [(f"{self.view}.{flag}", DType.BOOL) for flag in self.flag_names()]
