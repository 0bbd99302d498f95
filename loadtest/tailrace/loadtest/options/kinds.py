"""What kinds of values flags take, and how they look on a command line and in a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tailrace.loadtest.options.quantities import parse_duration, parse_share, parse_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of values.

    Attributes:
        placeholder: what help shows in place of a value; empty for a switch, which takes none.
        expected: what a value has to look like, in words.
        from_text: makes one of a command line's text; raises ValueError.
        from_file: makes one of a configuration file's value; raises ValueError.
        repeatable: True if each mention on a command line adds a value.
    """

    placeholder: str
    expected: str
    from_text: Callable[[str], Any]
    from_file: Callable[[Any], Any]
    repeatable: bool = False


def _text_of(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{json.dumps(value, default=str)} is no text")
    return value


def _of_text(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: parse(_text_of(value))


def _path(text: str) -> Path | None:
    return Path(text.strip()) if text.strip() else None


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part.strip()) for part in text.split(",") if part.strip())


def _paths_of(value: Any) -> tuple[Path, ...]:
    if isinstance(value, list):
        return tuple(Path(_text_of(part)) for part in value)
    return _paths(_text_of(value))


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _switch_of(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{json.dumps(value, default=str)} is neither true nor false")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number") from None


def _whole_of(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{json.dumps(value, default=str)} is no whole number")
    return value


def _count(number: float) -> Any:
    if not 0 <= number < float("inf"):
        raise ValueError(f"{number:g} is not 0 or more")
    return number


def _rate(text: str) -> float:
    try:
        return float(_count(float(text)))
    except ValueError:
        raise ValueError(f"{text!r} is no rate") from None


def _rate_of(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{json.dumps(value, default=str)} is no number")
    return float(_count(value))


def _signed_rate(text: str) -> float:
    return -_rate(text[1:]) if text.startswith("-") else _rate(text)


def _signed_rate_of(value: Any) -> float:
    if isinstance(value, int | float) and value < 0:
        return -_rate_of(-value)
    return _rate_of(value)


def _duration(text: str) -> float:
    return float(_count(parse_duration(text)))


def _duration_of(value: Any) -> float:
    if isinstance(value, int) and not isinstance(value, bool):
        # As in ghz, where only 0 needs no unit.
        return _duration(str(value))
    return _duration(_text_of(value))


def _size(text: str) -> int | None:
    return parse_size(text) if text.strip() else None


def _size_of(value: Any) -> int | None:
    return _count(_whole_of(value)) if isinstance(value, int) else _size(_text_of(value))


def _share_of(value: Any) -> float:
    return parse_share(value if isinstance(value, str) else str(_rate_of(value)))


def _strings(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"{json.dumps(value, default=str)} is no object")
    for name, each in value.items():
        if not isinstance(each, str):
            raise ValueError(f"{name!r} is {json.dumps(each, default=str)}, which is no text")
    return value


def _strings_of_text(text: str) -> dict[str, str]:
    try:
        return _strings(json.loads(text)) if text.strip() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{text!r} is no JSON: {error}") from None


def _strings_of(value: Any) -> dict[str, str]:
    return _strings_of_text(value) if isinstance(value, str) else _strings(value)


def _json_of(value: Any) -> str:
    # As JSON, whatever the form of the file: templates within it stay what they are.
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _metadata_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(
        [_strings(each) for each in value] if isinstance(value, list) else _strings(value),
        ensure_ascii=False,
    )


def _texts_of(value: Any) -> tuple[str, ...]:
    return tuple(_text_of(each) for each in (value if isinstance(value, list) else [value]))


def choice(values: type[StrEnum] | tuple[str, ...], *, placeholder: str) -> Kind:
    """Returns a kind of which there are a few values."""

    def parse(text: str) -> Any:
        word = text.strip().lower()
        if word not in list(values):
            raise ValueError(f"{text!r} is not known")
        return values(word) if isinstance(values, type) else word

    names = [str(value) for value in values]
    return Kind(
        placeholder=placeholder,
        expected=f"{', '.join(names[:-1])} or {names[-1]}",
        from_text=parse,
        from_file=_of_text(parse),
    )


TEXT = Kind(placeholder="TEXT", expected="a text", from_text=str, from_file=_text_of)
PATH = Kind(placeholder="FILE", expected="a path", from_text=_path, from_file=_of_text(_path))
PATHS = Kind(
    placeholder="DIR,…", expected="folders, comma between", from_text=_paths, from_file=_paths_of
)
SWITCH = Kind(placeholder="", expected="true or false", from_text=_switch, from_file=_switch_of)
COUNT = Kind(
    placeholder="N",
    expected="a whole number, 0 or more",
    from_text=lambda text: _count(_whole(text)),
    from_file=lambda value: _count(_whole_of(value)),
)
WHOLE = Kind(placeholder="N", expected="a whole number", from_text=_whole, from_file=_whole_of)
RATE = Kind(placeholder="N", expected="a number, 0 or more", from_text=_rate, from_file=_rate_of)
SIGNED_RATE = Kind(
    placeholder="N", expected="a number", from_text=_signed_rate, from_file=_signed_rate_of
)
DURATION = Kind(
    placeholder="TIME",
    expected="numbers with units, such as 10s, 1m30s, 250ms, 1.5h; or 0",
    from_text=_duration,
    from_file=_duration_of,
)
SIZE = Kind(
    placeholder="BYTES",
    expected="bytes, or a number with a unit, such as 4MiB",
    from_text=_size,
    from_file=_size_of,
)
SHARE = Kind(
    placeholder="SHARE", expected="a share, such as 5%", from_text=parse_share, from_file=_share_of
)
STRINGS = Kind(
    placeholder="JSON",
    expected='a JSON object of texts, such as {"name": "value"}',
    from_text=_strings_of_text,
    from_file=_strings_of,
)
STRINGS_TEXT = Kind(
    placeholder="JSON",
    expected=STRINGS.expected,
    from_text=lambda text: json.dumps(_strings_of_text(text)) if text.strip() else "",
    from_file=lambda value: json.dumps(_strings_of(value)) if value else "",
)
DATA = Kind(
    placeholder="JSON", expected="an object, or an array of them", from_text=str, from_file=_json_of
)
METADATA = Kind(
    placeholder="JSON",
    expected="an object of texts, or an array of them",
    from_text=str,
    from_file=_metadata_of,
)
TEXTS = Kind(
    placeholder="TEXT",
    expected="a text, or an array of them",
    from_text=str,
    from_file=_texts_of,
    repeatable=True,
)
