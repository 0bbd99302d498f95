"""What kinds of values flags take, and how they look on a command line and in a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tailrace.loadtest.options import parsing
from tailrace.loadtest.options.quantities import parse_share


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
        from_file=parsing.of_text(parse),
    )


TEXT = Kind(placeholder="TEXT", expected="a text", from_text=str, from_file=parsing.text_of)
PATH = Kind(
    placeholder="FILE",
    expected="a path",
    from_text=parsing.path,
    from_file=parsing.of_text(parsing.path),
)
PATHS = Kind(
    placeholder="DIR,…",
    expected="folders, comma between",
    from_text=parsing.paths,
    from_file=parsing.paths_of,
)
SWITCH = Kind(
    placeholder="", expected="true or false", from_text=parsing.switch, from_file=parsing.switch_of
)
COUNT = Kind(
    placeholder="N",
    expected="a whole number, 0 or more",
    from_text=lambda text: parsing.count(parsing.whole(text)),
    from_file=lambda value: parsing.count(parsing.whole_of(value)),
)
WHOLE = Kind(
    placeholder="N", expected="a whole number", from_text=parsing.whole, from_file=parsing.whole_of
)
RATE = Kind(
    placeholder="N",
    expected="a number, 0 or more",
    from_text=parsing.rate,
    from_file=parsing.rate_of,
)
SIGNED_RATE = Kind(
    placeholder="N",
    expected="a number",
    from_text=parsing.signed_rate,
    from_file=parsing.signed_rate_of,
)
DURATION = Kind(
    placeholder="TIME",
    expected="numbers with units, such as 10s, 1m30s, 250ms, 1.5h; or 0",
    from_text=parsing.duration,
    from_file=parsing.duration_of,
)
SIZE = Kind(
    placeholder="BYTES",
    expected="bytes, or a number with a unit, such as 4MiB",
    from_text=parsing.size,
    from_file=parsing.size_of,
)
SHARE = Kind(
    placeholder="SHARE",
    expected="a share, such as 5%",
    from_text=parse_share,
    from_file=parsing.share_of,
)
STRINGS = Kind(
    placeholder="JSON",
    expected='a JSON object of texts, such as {"name": "value"}',
    from_text=parsing.strings_of_text,
    from_file=parsing.strings_of,
)
STRINGS_TEXT = Kind(
    placeholder="JSON",
    expected=STRINGS.expected,
    from_text=lambda text: json.dumps(parsing.strings_of_text(text)) if text.strip() else "",
    from_file=lambda value: json.dumps(parsing.strings_of(value)) if value else "",
)
DATA = Kind(
    placeholder="JSON",
    expected="an object, or an array of them",
    from_text=str,
    from_file=parsing.json_of,
)
METADATA = Kind(
    placeholder="JSON",
    expected="an object of texts, or an array of them",
    from_text=str,
    from_file=parsing.metadata_of,
)
TEXTS = Kind(
    placeholder="TEXT",
    expected="a text, or an array of them",
    from_text=str,
    from_file=parsing.texts_of,
    repeatable=True,
)
