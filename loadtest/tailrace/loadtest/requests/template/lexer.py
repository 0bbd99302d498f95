"""Takes a template apart: text, actions, and the words of an action."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from tailrace.loadtest.requests.template.template_error import TemplateError

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_COMMENT_END = re.compile(r"([ \t\r\n]+-)?[ \t\r\n]*\}\}")
_TRIMS = re.compile(r"-[ \t\r\n]")
_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<string>"(?:[^"\\\n]|\\.)*")
  | (?P<raw>`[^`]*`)
  | (?P<char>'(?:[^'\\\n]|\\.)+')
  | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+
      |(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)(?![\w.]))
  | (?P<field>\.[^\W\d]\w*)
  | (?P<dot>\.)
  | (?P<variable>\$\w*)
  | (?P<name>[^\W\d]\w*)
  | (?P<declare>:=)
  | (?P<sign>[|(),=])
    """,
    re.VERBOSE,
)


class Kind(Enum):
    """What a word of an action is."""

    SPACE = auto()
    STRING = auto()
    RAW = auto()
    CHAR = auto()
    NUMBER = auto()
    FIELD = auto()
    DOT = auto()
    VARIABLE = auto()
    NAME = auto()
    DECLARE = auto()
    SIGN = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Word:
    """A word of an action.

    Attributes:
        kind: what it is.
        text: as it was written.
        offset: where it begins: characters from the template's start.
    """

    kind: Kind
    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Action:
    """What stands between `{{` and `}}`; its last word is of kind END."""

    words: tuple[Word, ...]
    offset: int


def pieces(text: str) -> Iterator[str | Action]:
    """Yields a template's text and actions in order, trim markers applied, comments left out.

    Raises:
        TemplateError: an action is not closed, or has a character that belongs into none.
    """
    place = 0
    trim = False
    while (start := text.find("{{", place)) >= 0:
        literal = text[place:start]
        if trim:
            literal = literal.lstrip(" \t\r\n")
        inner = start + 2
        if text[inner : inner + 1] == "-" and text[inner + 1 : inner + 2] in {
            " ",
            "\t",
            "\r",
            "\n",
        }:
            literal = literal.rstrip(" \t\r\n")
            inner += 2
        if literal:
            yield literal
        words, place, trim = _action(text, start, inner)
        if words is not None:
            yield Action(words, start)
    rest = text[place:].lstrip(" \t\r\n") if trim else text[place:]
    if rest:
        yield rest


def _action(text: str, start: int, inner: int) -> tuple[tuple[Word, ...] | None, int, bool]:
    """Returns an action's words (None for a comment), where it ends, and if it trims."""
    first = _SPACE.match(text, inner)
    assert first is not None
    if text.startswith("/*", first.end()):
        comment = _COMMENT.match(text, first.end())
        end = comment and _COMMENT_END.match(text, comment.end())
        if not end:
            raise TemplateError("a comment is not closed: it ends with */}}", start)
        return None, end.end(), bool(end[1])
    words: list[Word] = []
    place = inner
    while not text.startswith("}}", place):
        if text.startswith("-}}", place) and words and words[-1].kind is Kind.SPACE:
            words.append(Word(Kind.END, "", place))
            return tuple(words), place + 3, True
        found = _WORD.match(text, place)
        if found is None:
            if place >= len(text):
                raise TemplateError("{{ is not closed", start)
            if text[place] in "\"'`":
                raise TemplateError("a string is not closed", place)
            raise TemplateError(f"{text[place]!r} cannot stand in an action", place)
        kind = Kind[str(found.lastgroup).upper()]
        words.append(Word(kind, found[0], place))
        place = found.end()
    words.append(Word(Kind.END, "", place))
    return tuple(words), place + 2, False
