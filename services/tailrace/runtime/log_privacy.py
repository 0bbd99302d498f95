"""Which fields of a request its line shows, and which none does, not even in an error's text."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

ALL = "*"
REDACTED = "[redacted]"
# Most fields of one request that its line shows, and most characters of each.
MAX_FIELDS = 64
MAX_VALUE = 256

# `fields.origin`, `fields.items[3].price`, and the same below `request.` or `requests[0].`.
_FIELD = re.compile(r"(?:^|\.)fields\.([^.\[]+)")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class LogPrivacy(Generic[Value]):
    """What may be told of requests.

    Attributes:
        shown: names of fields that are shown; `*` for all.
        redacted: names of fields that are never shown; `*` for all.
    """

    shown: frozenset[str] = field(default_factory=frozenset)
    redacted: frozenset[str] = field(default_factory=frozenset)

    @property
    def hides_anything(self) -> bool:
        """Whether there are fields that no line shows."""
        return bool(self.redacted)

    def hides(self, name: str) -> bool:
        """Returns whether no line may show this field."""
        return name in self.redacted or ALL in self.redacted

    def payload(
        self, fields: Mapping[str, Value], text_of: Callable[[Value], str]
    ) -> dict[str, str]:
        """Returns the fields of a request that its line shows, cut to a bounded size."""
        if not self.shown:
            return {}
        names: Iterable[str] = (
            sorted(fields)
            if ALL in self.shown
            else [name for name in sorted(self.shown) if name in fields]
        )
        kept = [name for name in names if not self.hides(name)][:MAX_FIELDS]
        return {name[:MAX_VALUE]: text_of(fields[name])[:MAX_VALUE] for name in kept}

    def error_text(self, message: str, path: str) -> str:
        """Returns what a line says of an error at a field, such as `fields.origin`.

        Errors whose field is not known say nothing of values, by the rules for their messages.
        """
        if not self.redacted or not path:
            return message
        match = _FIELD.search(path)
        # Of tensors of the Open Inference Protocol, for one, the path tells no field.
        hidden = ALL in self.redacted or (match is not None and match.group(1) in self.redacted)
        return REDACTED if hidden else message

    def exception_text(self, error: BaseException) -> tuple[str, str]:
        """Returns message and stack of an exception that nobody foresaw.

        Where fields are redacted there is no message, as anybody's code may put a value into it.
        """
        if not self.redacted:
            return _message_of(error), "".join(traceback.format_exception(error)).rstrip()
        return REDACTED, _stack_without_messages(error)


def privacy_of(shown: Sequence[str], redacted: Sequence[str]) -> LogPrivacy[object]:
    """Returns the rules that the settings name."""
    return LogPrivacy(frozenset(shown), frozenset(redacted))


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception's own code may raise anything
        return f"[{type(error).__name__} has no text]"


def _stack_without_messages(error: BaseException) -> str:
    parts = []
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        frames = "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{type(each).__name__}")
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\n\n".join(reversed(parts))
