"""Sprig's functions of strings and encodings: https://masterminds.github.io/sprig/strings.html."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import zlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tailrace.loadtest.requests.template.go_time import GoTime
from tailrace.loadtest.requests.template.printf import go_quoted
from tailrace.loadtest.requests.template.values import go_text

_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
_LINES = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029"})


def _upper(text: str) -> str:
    # Character by character, as in Go: ß stays.
    large = text.upper()
    if len(large) == len(text):
        return large
    return "".join(char.upper() if len(char.upper()) == 1 else char for char in text)


def _title(text: str) -> str:
    return re.sub(r"(^|[\s\-.,;:!?\"'()/])(\w)", lambda found: found[1] + found[2].upper(), text)


def _untitle(text: str) -> str:
    return re.sub(r"(^|\s)(\S)", lambda found: found[1] + found[2].lower(), text)


def _substr(start: int, end: int, text: str) -> str:
    if start < 0:
        return text[:end]
    return text[start:] if end < 0 or end > len(text) else text[start:end]


def _trunc(count: int, text: str) -> str:
    return text[count:] if count < 0 else text[:count]


def _repeat(count: int, text: str) -> str:
    if count < 0:
        raise ValueError("a count is negative")
    return text * count


def _indent(spaces: int, text: str) -> str:
    pad = " " * spaces
    return pad + text.replace("\n", "\n" + pad)


def strings_of(value: object) -> list[str]:
    """Returns the strings of a list, or of what is none; nothing is left out."""
    if value is None:
        return []
    if isinstance(value, list):
        return [go_text(item) for item in value if item is not None]
    return [go_text(value)]


def _join(between: str, value: object) -> str:
    return between.join(strings_of(value))


def _split(between: str, text: str) -> dict[str, str]:
    return {f"_{place}": part for place, part in enumerate(_split_list(between, text))}


def _split_list(between: str, text: str) -> list[str]:
    return text.split(between) if between else list(text)


def _quote(*values: object) -> str:
    return " ".join(go_quoted(go_text(value)) for value in values if value is not None)


def _squote(*values: object) -> str:
    return " ".join(f"'{go_text(value)}'" for value in values if value is not None)


def _cat(*values: object) -> str:
    return " ".join(go_text(value) for value in values if value is not None)


def _b64dec(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{text!r} is no base64 of text") from error


def _b32dec(text: str) -> str:
    try:
        return base64.b32decode(text).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{text!r} is no base32 of text") from error


def _to_json(value: Any) -> str:
    return _to_raw_json(value).translate(_HTML)


def _to_raw_json(value: Any) -> str:
    return _json(value).translate(_LINES)


def _json(value: Any) -> str:
    match value:
        case float() if math.isfinite(value):
            return _json_float(value)
        case list():
            return f"[{','.join(map(_json, value))}]"
        case dict():
            return f"{{{','.join(f'{_json(key)}:{_json(value[key])}' for key in sorted(value))}}}"
        case GoTime():
            return _json(value.form("2006-01-02T15:04:05.999999999Z07:00"))
        case None | bool() | int() | str():
            return json.dumps(value, ensure_ascii=False)
    raise ValueError(f"{value} is not in JSON")


def _json_float(value: float) -> str:
    if value and not 1e-6 <= abs(value) < 1e21:
        return re.sub(r"e([+-])0", r"e\1", repr(value)).replace(".0e", "e")
    return f"{Decimal(repr(value)):f}".removesuffix(".0")


def _from_json(text: str) -> Any:
    # Every number of JSON is a float in Go.
    return json.loads(text, parse_int=float)


TEXT_FUNCTIONS: dict[str, Callable[..., object]] = {
    "upper": _upper,
    "lower": lambda text: text.lower(),
    "title": _title,
    "untitle": _untitle,
    "swapcase": lambda text: text.swapcase(),
    "trim": lambda text: text.strip(),
    "trimAll": lambda chars, text: text.strip(chars) if chars else text,
    "trimPrefix": lambda start, text: text.removeprefix(start),
    "trimSuffix": lambda end, text: text.removesuffix(end),
    "nospace": lambda text: "".join(text.split()),
    "contains": lambda part, text: part in text,
    "hasPrefix": lambda start, text: text.startswith(start),
    "hasSuffix": lambda end, text: text.endswith(end),
    "replace": lambda old, new, text: text.replace(old, new),
    "substr": _substr,
    "trunc": _trunc,
    "repeat": _repeat,
    "indent": _indent,
    "nindent": lambda spaces, text: "\n" + _indent(spaces, text),
    "plural": lambda one, many, count: one if count == 1 else many,
    "quote": _quote,
    "squote": _squote,
    "cat": _cat,
    "join": _join,
    "split": _split,
    "splitList": _split_list,
    "sortAlpha": lambda value: sorted(strings_of(value)),
    "toString": go_text,
    "toStrings": strings_of,
    "b64enc": lambda text: base64.b64encode(text.encode()).decode(),
    "b64dec": _b64dec,
    "b32enc": lambda text: base64.b32encode(text.encode()).decode(),
    "b32dec": _b32dec,
    "sha1sum": lambda text: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(),
    "sha256sum": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "adler32sum": lambda text: str(zlib.adler32(text.encode())),
    "toJson": _to_json,
    "mustToJson": _to_json,
    "toRawJson": _to_raw_json,
    "mustToRawJson": _to_raw_json,
    "fromJson": _from_json,
    "mustFromJson": _from_json,
}
