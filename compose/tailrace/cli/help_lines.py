"""Joins the lines of help texts, which are docstrings, so that they break where the terminal ends.

Typer joins those of the first paragraph only.
"""

from __future__ import annotations

import inspect
from typing import Any

# Typer's mark of a paragraph whose lines stay as they are.
_AS_IT_IS = "\b"


def join_help_lines(command: Any) -> None:
    """Joins the lines of the help of a click command, and of the commands that it holds."""
    if command.help:
        command.help = joined(command.help)
    for each in getattr(command, "commands", {}).values():
        join_help_lines(each)


def joined(text: str) -> str:
    """Returns a text with one line a paragraph; those with indented lines stay as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        paragraph
        if paragraph.startswith(_AS_IT_IS) or "\n " in paragraph
        else paragraph.replace("\n", " ")
        for paragraph in paragraphs
    )
