"""What all parts of a pipeline file share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_\-]{0,63}$"
COLUMN_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.\-=]{0,127}$"
VERSION_PATTERN = r"^[A-Za-z0-9_.\-]{1,32}$"
MODEL_VERSION_PATTERN = r"^[1-9][0-9]*$"
FUNCTION_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"

# Python refuses to write out numbers of thousands of digits.
_MOST_SHOWN = 10**60

PATTERN_TEXTS = {
    NAME_PATTERN: "a name: a letter, then up to 63 letters, digits, '_' and '-'",
    COLUMN_PATTERN: (
        "a column name: a letter or '_', then up to 127 letters, digits, '_', '.', '-' and '='"
    ),
    VERSION_PATTERN: "a version: 1 to 32 letters, digits, '_', '.' and '-'",
    MODEL_VERSION_PATTERN: "a version number in quotes, such as '1'",
    FUNCTION_PATTERN: "module:function, such as flight_steps:block_minutes",
}
"""What each pattern asks for, in words, for the errors."""

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
ColumnName = Annotated[str, StringConstraints(pattern=COLUMN_PATTERN)]


class Misfit(ValueError):
    """A value that its part of the file cannot hold; raised by the checks of the models.

    Attributes:
        found: what stands there.
        expected: what should.
        at: where below the value that is checked, such as `.minimum` or `[2]`, or empty.
        suggestion: the nearest valid name, or empty.
    """

    def __init__(self, found: str, expected: str, *, at: str = "", suggestion: str = "") -> None:
        """Keeps the fields and builds the message from them."""
        super().__init__(f"found {found}, expected {expected}")
        self.found = found
        self.expected = expected
        self.at = at
        self.suggestion = suggestion


def shown(value: object) -> str:
    """Returns a value as it would stand in a file, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, int) and abs(value) >= _MOST_SHOWN:
        return f"a number of {value.bit_length()} bits"
    text = value.isoformat() if isinstance(value, date) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class SpecModel(BaseModel):
    """Base of all parts: frozen, and an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True)

    @model_validator(mode="before")
    @classmethod
    def _no_bool_by_mistake(cls, content: object) -> object:
        # YAML reads NO, off and y as booleans, and Python takes a boolean for a number.
        if not isinstance(content, dict):
            return content
        for name, info in cls.model_fields.items():
            types = set(_leaves(info.annotation))
            if bool not in types and types & {int, float}:
                _refuse_bool(name, content.get(name), text=str in types)
        return content


def _refuse_bool(name: str, value: object, text: bool) -> None:
    hint = ", or text; what YAML takes for true or false needs quotes" if text else ""
    if isinstance(value, bool):
        raise Misfit(shown(value), f"a number{hint}", at=f".{name}")
    for place, element in enumerate(value if isinstance(value, list) else []):
        if isinstance(element, bool):
            raise Misfit(shown(element), f"a number{hint}", at=f".{name}[{place}]")


def _leaves(annotation: Any) -> Iterator[Any]:
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    for argument in arguments:
        yield from _leaves(argument)
