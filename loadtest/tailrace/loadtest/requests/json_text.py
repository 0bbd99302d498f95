"""Reads JSON, and says where it is none."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from tailrace.loadtest.load_error import LoadError

_EXCERPT = 24
_HINT = 'write JSON, such as {"name": "value"}'


def parse_json(text: str, place: str) -> Any:
    """Returns the value of a document of JSON.

    Args:
        text: the document.
        place: where it comes from, for errors.

    Raises:
        LoadError: it is none, or an object has a name twice.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"column {error.colno}"
        if "\n" in text.strip():
            where = f"line {error.lineno}, {where}"
        problem = f"{place} is not JSON: {error.msg} at {where}{_excerpt(text, error.pos)}"
        raise LoadError(problem, _HINT) from error
    except RecursionError as error:
        raise LoadError(f"{place} is nested too deeply", _HINT) from error
    except ValueError as error:
        raise LoadError(f"{place} is not JSON: {error}", _HINT) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice!r} is there twice")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"it has no {name}")


def _excerpt(text: str, place: int) -> str:
    start, end = max(place - _EXCERPT, 0), place + _EXCERPT
    shown = " ".join(text[start:end].split())
    if not shown:
        return ""
    before, after = "…" * (start > 0), "…" * (end < len(text))
    return f": {before}{shown}{after}"


# Made once: `json.loads` with hooks makes one for each document.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
