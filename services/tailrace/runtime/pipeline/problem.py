"""What is wrong with a file: where, what was found, what was expected, and the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tailrace.runtime.pipeline.yaml_lines import lines_of

# What a name is compared with, and no more: the comparison takes the product of two lengths.
_MAX_COMPARED = 128


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file.

    Attributes:
        path: where in the file, such as `ingest.steps[2].parts`; empty for the whole file.
        found: what stands there, shortened.
        expected: what should.
        suggestion: the nearest valid name, or empty.
        line: line of the file, from 1; 0 where it is not known. `SpecError` looks it up.
    """

    path: str
    found: str
    expected: str
    suggestion: str = ""
    line: int = 0

    def __str__(self) -> str:
        """Returns the problem in one line."""
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        return f"{self.path or '(top)'}: found {self.found}, expected {self.expected}{hint}"


class SpecError(Exception):
    """A pipeline or view file that cannot be used.

    Attributes:
        file: the file.
        problems: everything that is wrong with it, in the order of the file; never empty.
    """

    def __init__(self, file: Path, problems: list[Problem]) -> None:
        """Keeps file and problems, and reads the file once more to find their lines."""
        lines = lines_of(file, [problem.path for problem in problems])
        self.file = file
        self.problems = sorted(
            (
                problem if problem.line else replace(problem, line=line)
                for problem, line in zip(problems, lines, strict=True)
            ),
            key=lambda problem: problem.line,
        )
        super().__init__("\n".join(self._line(problem) for problem in self.problems))

    def _line(self, problem: Problem) -> str:
        place = f"{self.file}:{problem.line}" if problem.line else f"{self.file}"
        return f"{place}: {problem}"


def refusal(file: Path, error: Exception) -> SpecError:
    """Returns why a file is refused: the error as it is, or what an unforeseen one says of it.

    Whatever stands in one file must not keep the others out, nor end the process.
    """
    if isinstance(error, SpecError):
        return error
    # Exceptions may be long, and str() of one may fail as it did.
    try:
        text = f"{type(error).__name__}: {error}"[:200]
    except ValueError:
        text = type(error).__name__
    return SpecError(file, [Problem("", text, "a file that can be used")])


def nearest(name: object, known: Iterable[str]) -> str:
    """Returns the known name most like `name`, or an empty string if none is near."""
    text = str(name)[:_MAX_COMPARED]
    matches = difflib.get_close_matches(text, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else ""
