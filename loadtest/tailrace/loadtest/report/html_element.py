"""HTML and SVG as text that cannot be anything but what was meant: all else is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

# What text from elsewhere has no use for on a page: control characters, halves of surrogate pairs,
# which no file can hold, and marks that turn the direction of what is written after them.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_VOID = frozenset({"br", "meta"})


class Html(str):
    """Text that is HTML already. Only this module and assets of the package make it."""

    __slots__ = ()


Content: TypeAlias = "str | Iterable[Content]"
Attribute: TypeAlias = "str | float | bool | None"


def element(name: str, /, *content: Content, **attributes: Attribute) -> Html:
    """Returns an element.

    Args:
        name: of its tag.
        *content: elements, or text, which is escaped; or several in an iterable.
        **attributes: `class_` is `class`, `stroke_width` is `stroke-width`; None and False leave
            one out; numbers are kept to hundredths.
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{told}>")
    return Html(f"<{name}{told}>{joined(content)}</{name}>")


def joined(content: Content) -> Html:
    """Returns content as HTML: text is escaped, elements are not."""
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", content)))
    return Html("".join(joined(part) for part in content))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else number(value)
    return f' {name}="{joined(str(text))}"'


def number(value: float) -> str:
    """Returns a number in few digits: `12`, `3.5`, `0.25`."""
    told = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if told in ("", "-0") else told
