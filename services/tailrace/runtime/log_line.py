"""One log line: an object of the Elastic Common Schema, as JSON.

Written here and not by Elastic's `ecs-logging`, which takes four times as long: what is the same
in all lines of a process is made once, and the rest is put together as text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from json import JSONEncoder
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, TypeAlias

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.log_fields import FIELDS

# The version that Elastic's own loggers name.
ECS_VERSION = "1.6.0"
# Characters of a text; of one inside a list or an object; most elements of those, and most levels.
MAX_TEXT = 8_192
MAX_INNER_TEXT = 1_024
MAX_ELEMENTS = 256
MAX_DEPTH = 3
# Beyond these, no field of Elasticsearch's takes a number.
_MAX_BITS = 64

# The members of each object of a line, as text, by name: twice the same one would be refused.
_Groups: TypeAlias = dict[str, dict[str, str]]

_encode = JSONEncoder(separators=(",", ":")).encode

_HEAD = frozenset({"@timestamp", "log.level", "message", "ecs.version", names.DETAILS})
_GROUP_OF_DETAILS, _, _DETAILS = names.DETAILS.partition(".")


def _place(name: str) -> tuple[str, str]:
    group, _, rest = name.partition(".")
    return group, f"{_quoted(rest)}:"


# Where each field goes, by its name, and by its name without `labels.` where that is no other's.
_PLACES = {
    **{name.partition(".")[2]: _place(name) for name in FIELDS if name.startswith("labels.")},
    **{name: _place(name) for name in FIELDS if "." in name and name not in _HEAD},
}


_OBJECTS = frozenset(name for name, kind in FIELDS.items() if kind == "flattened")


class LogLines:
    """Makes the lines of a process."""

    def __init__(self, constant: Mapping[str, object]) -> None:
        """Keeps what all lines say.

        Args:
            constant: by dotted name, as in `line`.
        """
        self._constant: _Groups = {}
        _add(self._constant, constant)
        # When a line was last made, to the second, and its text.
        self._second = 0, ""

    def line(self, message: str, level: str, fields: Mapping[str, Any]) -> str:
        """Returns a line.

        Texts are cut, what JSON has no form for is told by its text, and what has no text either by
        its type: whatever the fields are, there is a line.

        Args:
            message: what happened.
            level: such as `info`.
            fields: by dotted name, as `event.duration`; of those below `labels`, the last part will
                do. What `log_fields` does not name goes below `tailrace.details`, as text.
        """
        groups = {group: members.copy() for group, members in self._constant.items()}
        try:
            _add(groups, fields)
        except Exception:  # foreign objects may raise anything: neither line nor request is lost
            _add(groups, {name: _harmless(value) for name, value in fields.items()})
        body = ",".join(
            [f'"{group}":{{{",".join(members.values())}}}' for group, members in groups.items()]
        )
        return (
            f'{{"@timestamp":"{self._now()}","log.level":"{level}",'
            f'"message":{_quoted(_cut(message))},"ecs.version":"{ECS_VERSION}",{body}}}'
        )

    def _now(self) -> str:
        second, ns = divmod(time.time_ns(), 1_000_000_000)
        then, text = self._second
        if second != then:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second, text
        return f"{text}.{ns // 1000:06}Z"


def cut_middle(text: str) -> str:
    """Returns a text no longer than others in a line; of a stack, begin and end tell the most."""
    if len(text) <= MAX_TEXT:
        return text
    begin = MAX_TEXT // 4
    return f"{text[:begin]}\n…\n{text[begin + 3 - MAX_TEXT :]}"


def _add(groups: _Groups, fields: Mapping[str, Any]) -> None:
    """Adds fields to their groups."""
    details: dict[str, str] = {}
    for name, value in fields.items():
        place = _PLACES.get(name)
        if place is None:
            key = _key(name)
            details[key] = f"{_quoted(key)}:{_quoted(_cut(str(_plain(value))))}"
            continue
        group, key = place
        kind = type(value)
        if kind is int:
            text = f"{key}{value}"
        elif kind is str:
            text = f"{key}{_quoted(value if len(value) <= MAX_TEXT else _cut(value))}"
        elif kind is bool:
            text = f"{key}{'true' if value else 'false'}"
        else:
            plain = _plain(value)
            if isinstance(plain, dict) and name not in _OBJECTS:
                # Elasticsearch refuses a line with an object in place of a text or a number.
                plain = _cut(str(plain))
            text = key + _encode(plain)
        if group in groups:
            groups[group][key] = text
        else:
            groups[group] = {key: text}
    if details:
        text = f'"{_DETAILS}":{{{",".join(details.values())}}}'
        groups.setdefault(_GROUP_OF_DETAILS, {})[_DETAILS] = text


def _plain(value: object, depth: int = 0) -> Any:
    """Returns a value that JSON has a form for, of a bounded size."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    longest = MAX_INNER_TEXT if depth else MAX_TEXT
    if isinstance(value, str):
        return _cut(value, longest)
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            return {
                _key(str(key)): _plain(element, depth + 1) for key, element in _first(value.items())
            }
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_plain(element, depth + 1) for element in _first(value)]
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value[:longest])
    return _cut(repr(value), longest)


def _first(elements: Iterable[Any]) -> Iterable[Any]:
    return islice(elements, MAX_ELEMENTS)


def _key(name: str) -> str:
    # Elasticsearch refuses a line with a null character in a name.
    return _cut(name.replace("\0", "\\0"), MAX_INNER_TEXT)


def _harmless(value: object) -> str | int:
    """Returns a value's text, or what type it has."""
    if isinstance(value, int) and value.bit_length() <= _MAX_BITS:
        return int(value)
    try:
        return str(value)
    except Exception:  # whatever the object's own code raises
        return f"[a value of type {type(value).__name__} that has no text]"


def _cut(text: str, longest: int = MAX_TEXT) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
