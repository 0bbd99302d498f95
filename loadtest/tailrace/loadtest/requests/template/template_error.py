"""What is wrong with a template, and where."""

from __future__ import annotations


class TemplateError(Exception):
    """A template cannot be read, or cannot be filled.

    Attributes:
        problem: what is wrong, without a full stop.
        offset: where it is: characters from the template's start; -1 where that is not known.
    """

    def __init__(self, problem: str, offset: int = -1) -> None:
        super().__init__(problem)
        self.problem = problem
        self.offset = offset

    def place(self, text: str) -> str:
        """Returns where it is in the template's text: `line 2, column 7`; empty if not known."""
        if self.offset < 0:
            return ""
        before = text[: self.offset]
        line = before.count("\n") + 1
        return f"line {line}, column {self.offset - (before.rfind(chr(10)) + 1) + 1}"
