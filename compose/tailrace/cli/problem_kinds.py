"""The problems of many events or rows, each kind of them once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

SHOWN_KINDS = 10

# What tells apart two events with the same problem.
_OWN = ("id", "row")
_NUMBER = re.compile(r"\d+")


class ProblemKinds:
    """Counts problems by kind: those that differ in nothing but event, row and numbers are one."""

    def __init__(self) -> None:
        """Begins with none."""
        self._found: dict[str, tuple[Mapping[str, Any], int]] = {}
        self._others = 0

    def add(self, problem: Mapping[str, Any]) -> None:
        """Counts one.

        Args:
            problem: what is told of it, as JSON has it; `message` is what is wrong.
        """
        words = {name: value for name, value in problem.items() if name not in _OWN}
        kind = json.dumps(words | {"message": _NUMBER.sub("0", str(words["message"]))})
        first, count = self._found.get(kind, (problem, 0))
        # However many kinds there are, only those that are shown are kept.
        if count or len(self._found) < SHOWN_KINDS:
            self._found[kind] = first, count + 1
        else:
            self._others += 1

    def lines(self) -> Iterator[str]:
        """Yields a line for each of the first kinds: how often it was, and its first problem."""
        for first, count in self._found.values():
            yield f"{count:,} × {json.dumps(first, ensure_ascii=False)}"
        if self._others:
            yield f"… and {self._others:,} more problems of other kinds"
