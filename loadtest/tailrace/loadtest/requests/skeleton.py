"""JSON with marks in the place of a template's holes, to see what each of them fills."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tailrace.loadtest.requests.template.template import Hole

# Characters of the private use area: whoever has them in a template is served more slowly.
_BEGIN, _END = "\ue000", "\ue001"
_MARK = re.compile(f"{_BEGIN}([0-9]+){_END}")
_STRING_SIGN = re.compile(r'\\.|"', re.DOTALL)

Part = str | Hole


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A template's JSON.

    Attributes:
        value: the document, with marks in strings where there are holes.
        bare: numbers of the holes that stand outside of strings: their marks are strings alone.
    """

    value: Any
    bare: frozenset[int]


def skeleton(parts: Sequence[Part]) -> Skeleton | None:
    """Returns the JSON that a template is, whatever its holes are filled with.

    Args:
        parts: the template's. Its holes are numbered in order, silent ones too.

    Returns:
        None if it is none: a hole is more than a value, or a name.
    """
    out: list[str] = []
    bare: set[int] = set()
    inside = False
    number = 0
    for part in parts:
        if isinstance(part, str):
            if _BEGIN in part or _END in part:
                return None
            out.append(part)
            inside = in_string(part, inside)
            continue
        if not part.silent:
            mark = f"{_BEGIN}{number}{_END}"
            out.append(mark if inside else f'"{mark}"')
            if not inside:
                bare.add(number)
        number += 1
    try:
        value = json.loads("".join(out))
    except (ValueError, RecursionError):
        return None
    return Skeleton(value, frozenset(bare))


def in_string(text: str, inside: bool) -> bool:
    """Returns whether text of JSON ends within a string, given whether it begins in one."""
    for sign in _STRING_SIGN.finditer(text):
        if sign[0] == '"':
            inside = not inside
    return inside


def has_mark(value: object) -> bool:
    """True if a value is a string with a hole's mark."""
    return isinstance(value, str) and _BEGIN in value


def segments(value: str) -> list[str | int]:
    """Returns a string's text, and in the place of marks the holes' numbers, in order."""
    found: list[str | int] = []
    for place, text in enumerate(_MARK.split(value)):
        if place % 2:
            found.append(int(text))
        elif text:
            found.append(text)
    return found
