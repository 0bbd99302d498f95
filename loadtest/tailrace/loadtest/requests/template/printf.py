"""Go's printf, as far as templates use it: https://pkg.go.dev/fmt."""

from __future__ import annotations

import math
import re

from tailrace.loadtest.requests.template.values import go_float, go_text, is_number, kind, show

_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>[0-9]+|\*)?(?:\.(?P<most>[0-9]*|\*))?(?P<verb>.)?"
)
_SIMPLE = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}


def printf(form: str, *values: object) -> str:
    """Returns values in a form of Go's: `%d %s %v %q %x %X %o %b %c %U %e %f %g %t %%`.

    Raises:
        ValueError: a verb is not known or does not fit its value, or there are too few values or
            too many.
    """
    waiting = list(values)

    def filled(found: re.Match[str]) -> str:
        verb = found["verb"]
        if verb is None:
            raise ValueError("the form ends within a verb")
        if "*" in (found["width"], found["most"]):
            raise ValueError("a width of * is not supported here")
        if verb == "%":
            return "%"
        if not waiting:
            raise ValueError(f"there is no value for {found[0]}")
        most = found["most"]
        text = _one(verb, found["flags"], None if most is None else int(most or 0), waiting.pop(0))
        return _padded(text, found["flags"], int(found["width"] or 0), verb)

    out = _VERB.sub(filled, form)
    if waiting:
        raise ValueError(f"{len(waiting)} more given than there are verbs")
    return out


def go_quoted(text: str) -> str:
    """Returns a string in double quotes with Go's escapes: `%q`."""
    out = ['"']
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char in _SIMPLE:
            out.append("\\" + _SIMPLE[char])
        elif char.isprintable():
            out.append(char)
        elif ord(char) < 0x80:
            out.append(f"\\x{ord(char):02x}")
        elif ord(char) < 0x10000:
            out.append(f"\\u{ord(char):04x}")
        else:
            out.append(f"\\U{ord(char):08x}")
    out.append('"')
    return "".join(out)


def _one(verb: str, flags: str, most: int | None, value: object) -> str:
    plus = "+" if "+" in flags else " " if " " in flags else ""
    match verb:
        case "v" if isinstance(value, float) and most is not None:
            return _signed(f"{value:.{most or 1}g}", plus)
        case "v" if is_number(value):
            return _signed(go_text(value), plus)
        case "v":
            return go_text(value)
        case "s" if isinstance(value, str | list | dict) or not is_number(value):
            if isinstance(value, bool) or value is None:
                _refuse(verb, value)
            text = show(value)
            return text if most is None else text[:most]
        case "q" if isinstance(value, str):
            return go_quoted(value if most is None else value[:most])
        case "t" if isinstance(value, bool):
            return go_text(value)
        case "d" | "o" | "b" | "x" | "X" | "c" | "U" | "q" if type(value) is int:
            return _whole(verb, flags, plus, most, value)
        case "x" | "X" if isinstance(value, str):
            text = value.encode()[:most].hex()
            text = ("0x" if "#" in flags and text else "") + text
            return text.upper() if verb == "X" else text
        case "e" | "E" | "f" | "F" | "g" | "G" if isinstance(value, float):
            return _signed(_broken(verb, most, value), plus)
    _refuse(verb, value)
    raise AssertionError


def _refuse(verb: str, value: object) -> None:
    raise ValueError(f"%{verb} is not for {kind(value)}")


def _whole(verb: str, flags: str, plus: str, most: int | None, value: int) -> str:
    if verb == "c":
        return chr(value)
    if verb == "U":
        return f"U+{value:04X}"
    if verb == "q":
        return "'" + go_quoted(chr(value))[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    digits = format(abs(value), verb)
    digits = digits.rjust(most or 0, "0")
    prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
    return ("-" if value < 0 else plus) + prefix + digits


def _broken(verb: str, most: int | None, value: float) -> str:
    if not math.isfinite(value):
        return go_float(value)
    if verb in "gG" and most is None:
        text = go_float(value)
        return text.upper() if verb == "G" else text
    places = 6 if most is None else most
    return format(value, f".{places}{verb}")


def _signed(text: str, plus: str) -> str:
    return text if not plus or text[0] in "+-" else plus + text


def _padded(text: str, flags: str, width: int, verb: str) -> str:
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and verb not in "cUtq" and not text.endswith(("Inf", "NaN")):
        # Zeros go behind the sign and the prefix.
        sign = re.match(r"[+ -]?(?:0[xXb](?=.))?", text) if verb not in "sv" else None
        head = sign[0] if sign else ""
        return head + text[len(head) :].rjust(width - len(head), "0")
    return text.rjust(width)
