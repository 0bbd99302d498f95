"""Constants of templates, as Go writes them."""

from __future__ import annotations

import re

from tailrace.loadtest.requests.template.lexer import Kind, Word
from tailrace.loadtest.requests.template.template_error import TemplateError

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))"
)
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_INT64 = 1 << 63


def read_constant(word: Word) -> object:
    """Returns the value of a string, raw string, character (a number in Go) or number.

    Raises:
        TemplateError: it is none.
    """
    if word.kind is Kind.RAW:
        return word.text[1:-1]
    if word.kind is Kind.NUMBER:
        return _number(word)
    text = _unescaped(word)
    if word.kind is Kind.STRING:
        return text
    if len(text) != 1:
        raise TemplateError(f"{word.text} is not one character", word.offset)
    return ord(text)


def _unescaped(word: Word) -> str:
    # \x and octal escapes are bytes in Go: put together as UTF-8.
    out = bytearray()
    place = 0
    inner = word.text[1:-1]
    for found in _ESCAPE.finditer(inner):
        out += inner[place : found.start()].encode()
        place = found.end()
        simple, byte, short, long, octal, unknown = found.groups()
        if unknown is not None:
            raise TemplateError(f"there is no escape \\{unknown}", word.offset + 1 + found.start())
        if simple is not None:
            out += _SIMPLE[simple].encode()
        elif byte is not None or octal is not None:
            out.append(int(byte, 16) if byte is not None else int(octal, 8) & 0xFF)
        else:
            out += chr(int(short or long, 16)).encode()
    out += inner[place:].encode()
    try:
        return out.decode()
    except UnicodeDecodeError:
        raise TemplateError(f"{word.text} is not UTF-8", word.offset) from None


def _number(word: Word) -> int | float:
    text = word.text.replace("_", "")
    try:
        if re.fullmatch(r"[+-]?0[0-7]+", text):
            value = int(text, 8)
        else:
            value = int(text, 0)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise TemplateError(f"{word.text} is no number", word.offset) from None
    if not -_INT64 <= value < _INT64:
        raise TemplateError(f"{word.text} is beyond 64 bits", word.offset)
    return value
