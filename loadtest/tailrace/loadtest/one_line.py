"""Texts of others, such as a server's error, where a terminal shows them."""

from __future__ import annotations


def one_line(text: str) -> str:
    r"""Returns a text in one line, without what would steer a terminal.

    Lines and runs of blanks become single spaces; characters that show nothing, such as the escape
    before a colour, are written as Python writes them: `\x1b`.
    """
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in line
    )
