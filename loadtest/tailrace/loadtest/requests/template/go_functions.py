"""Go's own functions of templates: https://pkg.go.dev/text/template#hdr-Functions.

`and` and `or` are not here: they do not look at all of their arguments.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from tailrace.loadtest.requests.template.printf import printf
from tailrace.loadtest.requests.template.values import go_text, kind, show, truth


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise ValueError("there is nothing to compare with")
    for other in others:
        if first is not None and other is not None and _order(first) != _order(other):
            raise ValueError(f"{kind(first)} cannot be compared with {kind(other)}")
        if first == other:
            return True
    return False


def _order(value: object) -> str:
    return kind(value)


def _less(first: Any, second: Any) -> bool:
    if type(first) is not type(second) or type(first) not in {int, float, str}:
        raise ValueError(f"{kind(first)} cannot be compared with {kind(second)}")
    return bool(first < second)


def _len(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list | dict):
        return len(value)
    raise ValueError(f"{kind(value)} has no length")


def _index(value: Any, *places: Any) -> object:
    for place in places:
        if isinstance(value, dict):
            value = value.get(place)
        elif isinstance(value, list) and type(place) is int:
            if not 0 <= place < len(value):
                raise ValueError(f"there is no place {place} in a list of {len(value)}")
            value = value[place]
        elif isinstance(value, str) and type(place) is int:
            raw = value.encode()
            if not 0 <= place < len(raw):
                raise ValueError(f"there is no place {place} in a string of {len(raw)}")
            value = raw[place]
        else:
            raise ValueError(f"{kind(value)} has no place {go_text(place)}")
    return value


def _slice(value: Any, *places: int) -> object:
    if not isinstance(value, str | list) or len(places) > 2:
        raise ValueError(f"{kind(value)} has no such slice")
    start, end = (*places, len(value))[:2] if places else (0, len(value))
    if not 0 <= start <= end <= len(value):
        raise ValueError(f"{kind(value)} of {len(value)} has no slice from {start} to {end}")
    return value[start:end]


def _print(*values: object) -> str:
    out = []
    for place, value in enumerate(values):
        # As in Go: a space between two of which neither is a string.
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            out.append(" ")
        out.append(go_text(value))
    return "".join(out)


def _println(*values: object) -> str:
    return " ".join(map(go_text, values)) + "\n"


def _html(*values: object) -> str:
    escaped = html.escape(_shown(values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    return escaped.replace("\0", "\ufffd")


def _urlquery(*values: object) -> str:
    return quote_plus(_shown(values), safe="~")


def _shown(values: tuple[object, ...]) -> str:
    return show(values[0]) if len(values) == 1 else _print(*values)


GO_FUNCTIONS: dict[str, Callable[..., object]] = {
    "eq": _equal,
    "ne": lambda first, second: not _equal(first, second),
    "lt": _less,
    "le": lambda first, second: not _less(second, first),
    "gt": lambda first, second: _less(second, first),
    "ge": lambda first, second: not _less(first, second),
    "not": lambda value: not truth(value),
    "len": _len,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "printf": printf,
    "println": _println,
    "html": _html,
    "urlquery": _urlquery,
}
