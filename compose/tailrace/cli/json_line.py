"""Reads JSON as strictly as its specification: no NaN, and each name once."""

from __future__ import annotations

import json
from typing import Any

from tailrace.client import InvalidRequest


def parse_json(text: str | bytes) -> Any:
    """Returns the parsed document.

    Raises:
        InvalidRequest: it is not JSON, or an object holds a name twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except UnicodeDecodeError as error:
        message = f"not JSON: not UTF-8 at byte {error.start}"
    except RecursionError:
        message = "not JSON that can be read: nested too deep"
    except ValueError as error:
        message = f"not JSON: {error}"
    raise InvalidRequest(message, reason="INVALID_FIELD")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} occurs twice")
    return content


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")
