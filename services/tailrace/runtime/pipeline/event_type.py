"""Event-type files: what events of one type hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from tailrace.runtime.columns import DType
from tailrace.runtime.pipeline.base import ColumnName, Name, SpecModel
from tailrace.runtime.pipeline.duration import Duration

EVENT_DTYPES = {
    "string": DType.STRING,
    "int64": DType.INT64,
    "double": DType.FLOAT64,
    "bool": DType.BOOL,
    "timestamp": DType.TIMESTAMP,
}

MAX_FUTURE = timedelta(minutes=1)
"""How far events may lie in the future where their type does not say."""


class EventField(SpecModel):
    """One field of an event. NaN, infinity and integers beyond 2^53 are refused."""

    type: Literal["string", "int64", "double", "bool", "timestamp"]
    required: bool = True
    description: str = ""
    unit: str = ""
    max_length: int = Field(default=256, ge=1, le=4096)

    @property
    def dtype(self) -> DType:
        """The type of the field's values."""
        return EVENT_DTYPES[self.type]


class EventType(SpecModel):
    """What happens to entities, and what is told of it.

    Attributes:
        event: name of the type.
        fields: what an event may hold; any other field is refused.
        max_future: how far an event's time may lie after the instant at which it became known,
            and that after this machine's clock.
    """

    event: Name
    description: str = ""
    fields: dict[ColumnName, EventField] = Field(min_length=1, max_length=200)
    max_future: Duration = MAX_FUTURE
    owner: str = ""
    tags: list[str] = []
