"""Makes values of a command line's texts, and of what a configuration file holds.

All raise ValueError, with what is wrong in words, where they cannot.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tailrace.loadtest.options.quantities import parse_duration, parse_share, parse_size


def text_of(value: Any) -> str:
    """Returns a file's text."""
    if not isinstance(value, str):
        raise ValueError(f"{json.dumps(value, default=str)} is no text")
    return value


def of_text(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Returns what makes a value of a file's text."""
    return lambda value: parse(text_of(value))


def path(text: str) -> Path | None:
    """Returns a path; None for an empty one."""
    return Path(text.strip()) if text.strip() else None


def paths(text: str) -> tuple[Path, ...]:
    """Returns paths that have commas between them."""
    return tuple(Path(part.strip()) for part in text.split(",") if part.strip())


def paths_of(value: Any) -> tuple[Path, ...]:
    """Returns the paths of a file's array, or of a text."""
    if isinstance(value, list):
        return tuple(Path(text_of(part)) for part in value)
    return paths(text_of(value))


def switch(text: str) -> bool:
    """Returns true or false."""
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def switch_of(value: Any) -> bool:
    """Returns a file's true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{json.dumps(value, default=str)} is neither true nor false")
    return value


def whole(text: str) -> int:
    """Returns a whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number") from None


def whole_of(value: Any) -> int:
    """Returns a file's whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{json.dumps(value, default=str)} is no whole number")
    return value


def count(number: float) -> Any:
    """Returns a number that is 0 or more."""
    if not 0 <= number < float("inf"):
        raise ValueError(f"{number:g} is not 0 or more")
    return number


def rate(text: str) -> float:
    """Returns a number that is 0 or more, whole or not."""
    try:
        return float(count(float(text)))
    except ValueError:
        raise ValueError(f"{text!r} is no rate") from None


def rate_of(value: Any) -> float:
    """Returns a file's number that is 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{json.dumps(value, default=str)} is no number")
    return float(count(value))


def signed_rate(text: str) -> float:
    """Returns a number."""
    return -rate(text[1:]) if text.startswith("-") else rate(text)


def signed_rate_of(value: Any) -> float:
    """Returns a file's number."""
    if isinstance(value, int | float) and value < 0:
        return -rate_of(-value)
    return rate_of(value)


def duration(text: str) -> float:
    """Returns seconds, 0 or more."""
    return float(count(parse_duration(text)))


def duration_of(value: Any) -> float:
    """Returns the seconds of a file's text, or 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        # As in ghz, where only 0 needs no unit.
        return duration(str(value))
    return duration(text_of(value))


def size(text: str) -> int | None:
    """Returns bytes; None for an empty text."""
    return parse_size(text) if text.strip() else None


def size_of(value: Any) -> int | None:
    """Returns the bytes that a file's number or text says."""
    return count(whole_of(value)) if isinstance(value, int) else size(text_of(value))


def share_of(value: Any) -> float:
    """Returns the share that a file's number or text says."""
    return parse_share(value if isinstance(value, str) else str(rate_of(value)))


def strings(value: Any) -> dict[str, str]:
    """Returns an object whose values are all texts."""
    if not isinstance(value, dict):
        raise ValueError(f"{json.dumps(value, default=str)} is no object")
    for name, each in value.items():
        if not isinstance(each, str):
            raise ValueError(f"{name!r} is {json.dumps(each, default=str)}, which is no text")
    return value


def strings_of_text(text: str) -> dict[str, str]:
    """Returns the object of a JSON text."""
    try:
        return strings(json.loads(text)) if text.strip() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{text!r} is no JSON: {error}") from None


def strings_of(value: Any) -> dict[str, str]:
    """Returns a file's object, or that of its JSON text."""
    return strings_of_text(value) if isinstance(value, str) else strings(value)


def json_of(value: Any) -> str:
    """Returns a file's value as JSON text."""
    # As JSON, whatever the form of the file: templates within it stay what they are.
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except TypeError as error:
        raise ValueError(str(error)) from None


def metadata_of(value: Any) -> str:
    """Returns a file's object of texts, or array of them, as JSON text."""
    if isinstance(value, str):
        return value
    return json.dumps(
        [strings(each) for each in value] if isinstance(value, list) else strings(value),
        ensure_ascii=False,
    )


def texts_of(value: Any) -> tuple[str, ...]:
    """Returns the texts of a file's array, or of one."""
    return tuple(text_of(each) for each in (value if isinstance(value, list) else [value]))
