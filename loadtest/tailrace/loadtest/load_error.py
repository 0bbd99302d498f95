"""What stops a load test before it begins, or a report before it is written."""

from __future__ import annotations


class LoadError(Exception):
    """Something that the user has to change. The command line ends with status 2.

    Attributes:
        problem: what is wrong, and where: one line without a full stop.
        hint: what to do about it: one line; empty where the problem says it already.
    """

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(f"{problem} ({hint})" if hint else problem)
        self.problem = problem
        self.hint = hint
