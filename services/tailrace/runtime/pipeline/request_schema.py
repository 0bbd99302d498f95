"""The request section of a pipeline file: which fields a request may hold."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.base import ColumnName, Misfit, SpecModel, shown

MAX_ITEMS = 10_000
"""Most items of a list."""


class FieldBase(SpecModel):
    """What every request field has."""

    required: bool = False
    description: str = ""
    unit: str = ""

    @property
    def column_dtype(self) -> DType:
        """The type of the column that holds the field."""
        raise NotImplementedError

    @property
    def list_items(self) -> int | None:
        """Most items, of a field that holds a list; None for others."""
        return None


class ListableField(FieldBase):
    """A field that holds one value, or, where `max_items` is given, a list of so many at most.

    What else the field says of its values then goes for each item.
    """

    max_items: int | None = Field(default=None, ge=1, le=MAX_ITEMS)

    @property
    def list_items(self) -> int | None:
        """Most items, of a field that holds a list; None for others."""
        return self.max_items

    @model_validator(mode="after")
    def _lists_have_no_default(self) -> ListableField:
        default = getattr(self, "default", None)
        if self.max_items is not None and default is not None:
            expected = "none: a list that is missing is empty"
            raise Misfit(shown(default), expected, at=".default")
        return self


class StringField(ListableField):
    """UTF-8 text."""

    type: Literal["string"]
    default: str | None = None
    allowed: list[str] | None = None
    max_length: int = Field(default=1024, ge=1, le=65_536)

    @property
    def column_dtype(self) -> DType:
        """The type of the column that holds the field."""
        return DType.STRING


class Int64Field(ListableField):
    """Signed 64-bit integer."""

    type: Literal["int64"]
    default: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    allowed: list[int] | None = None

    @property
    def column_dtype(self) -> DType:
        """The type of the column that holds the field."""
        return DType.INT64


class DoubleField(FieldBase):
    """IEEE 754 binary64; NaN and infinity are refused."""

    type: Literal["double"]
    default: float | None = None
    minimum: float | None = None
    maximum: float | None = None

    @property
    def column_dtype(self) -> DType:
        """The type of the column that holds the field."""
        return DType.FLOAT64


class BoolField(FieldBase):
    """True or false."""

    type: Literal["bool"]
    default: bool | None = None

    @property
    def column_dtype(self) -> DType:
        """The type of the column that holds the field."""
        return DType.BOOL


class TimestampField(FieldBase):
    """An instant, kept to the microsecond."""

    type: Literal["timestamp"]
    default: datetime | None = None
    minimum: datetime | None = None
    maximum: datetime | None = None

    @property
    def column_dtype(self) -> DType:
        """The type of the column that holds the field."""
        return DType.TIMESTAMP

    @field_validator("default", "minimum", "maximum")
    @classmethod
    def _has_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise Misfit(shown(value), "an instant with its offset, such as 2013-01-01T05:00:00Z")
        return value


class BytesField(FieldBase):
    """Arbitrary bytes."""

    type: Literal["bytes"]
    max_length: int = Field(default=65_536, ge=1, le=16_777_216)

    @property
    def column_dtype(self) -> DType:
        """The type of the column that holds the field."""
        return DType.BYTES


class TensorField(FieldBase):
    """A dense numeric tensor of a fixed shape; NaN and infinity are refused."""

    type: Literal["tensor"]
    dtype: DType
    shape: list[Annotated[int, Field(ge=1, le=1_000_000)]] = Field(min_length=1, max_length=8)

    @property
    def column_dtype(self) -> DType:
        """The type of the column that holds the field."""
        return self.dtype

    @model_validator(mode="after")
    def _is_numeric(self) -> TensorField:
        if self.dtype.is_ragged:
            found = f"{self.dtype.value}, which has no fixed size"
            raise Misfit(found, "a numeric dtype; text has a type of its own", at=".dtype")
        return self


RequestField = Annotated[
    StringField | Int64Field | DoubleField | BoolField | TimestampField | BytesField | TensorField,
    Field(discriminator="type"),
]


class RequestSchema(SpecModel):
    """Which fields a request may hold. Any other field is refused."""

    fields: dict[ColumnName, RequestField] = Field(min_length=1, max_length=1000)
