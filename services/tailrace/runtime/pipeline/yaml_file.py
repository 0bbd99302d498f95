"""Reads YAML; what cannot be read is told with line and column."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from tailrace.runtime.pipeline.problem import Problem, SpecError
from tailrace.runtime.pipeline.yaml_lines import MAX_DEPTH, MAX_VALUES, compose

MAX_FILE_BYTES = 4 * 1024 * 1024
# Up to here a broken file is parsed again by the slow parser, whose messages say more.
_MAX_EXPLAINED_BYTES = 256 * 1024
_EXPECTED = re.compile(r"expected (?P<expected>.+), but (?:got|found) (?P<found>.+)", re.DOTALL)

# How a message of the parser begins, and what to say in place of that.
_EXPLAINED = (
    ("could not determine a constructor for the tag", "the tag", "plain YAML, without tags"),
    ("mapping values are not allowed here", "a second ': '", "one in a line; put text in quotes"),
    ("mapping values are not allowed in this context", "a second ': '", "one in a line"),
    ("but found another document", "another document", "one in a file"),
    ("found unhashable key", "a list or a mapping as a name", "text"),
    ("could not find expected ':'", "no ':'", "one after the name"),
    ("found undefined alias", "the alias", "the name of an anchor above; put text in quotes"),
)


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file as read: its text digested, its content parsed.

    Attributes:
        path: the file.
        content: what it holds, as mappings, lists and scalars.
        digest: SHA-256 of its bytes, in hexadecimal.
    """

    path: Path
    content: Any
    digest: str


def read_yaml(path: Path) -> LoadedFile:
    """Returns the parsed file.

    Raises:
        SpecError: it cannot be read, is too large, is not YAML, or holds a name twice.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            # To read a pipe or a device may never end.
            raise SpecError(path, [Problem("", "a pipe or a device", "a readable file")])
        data = path.read_bytes()
    except OSError as error:
        raise SpecError(
            path, [Problem("", error.strerror or "an error", "a readable file")]
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise SpecError(path, [Problem("", f"{len(data)} bytes", f"at most {MAX_FILE_BYTES}")])
    try:
        root = compose(data)
    except yaml.YAMLError as error:
        raise SpecError(path, [_syntax_problem(data, error)]) from error
    too_much = _too_much(root)
    if too_much is not None:
        raise SpecError(path, [too_much])
    twice = list(_names_twice(root))
    if twice:
        raise SpecError(path, twice)
    return LoadedFile(path, _construct(path, root), hashlib.sha256(data).hexdigest())


def _construct(path: Path, root: yaml.Node | None) -> Any:
    if root is None:
        return None
    try:
        return SafeConstructor().construct_document(root)
    except yaml.YAMLError as error:
        raise SpecError(path, [_problem_at(error)]) from error
    except ValueError as error:
        # A scalar such as 2013-02-30, which looks like an instant and is none.
        problem = _scalar_problem(root) or Problem("", str(error), "YAML")
        raise SpecError(path, [problem]) from error


def _scalar_problem(root: yaml.Node) -> Problem | None:
    for node in _nodes(root):
        if not isinstance(node, yaml.ScalarNode):
            continue
        try:
            SafeConstructor().construct_object(node)
        except (ValueError, yaml.YAMLError) as error:
            found = f"{node.value[:80]!r}: {error}"
            return _marked(node.start_mark, found, "a valid value, or text in quotes")
    return None


def _names_twice(root: yaml.Node | None) -> Iterator[Problem]:
    for node in _nodes(root):
        if not isinstance(node, yaml.MappingNode):
            continue
        seen: dict[tuple[str, str], yaml.Mark] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            first = seen.setdefault((key.tag, key.value), key.start_mark)
            if first is not key.start_mark:
                found = f"the name {key.value!r} again, first in line {first.line + 1}"
                yield _marked(key.start_mark, found, "each name once")


class _TooDeep(Exception):
    pass


def _too_much(root: yaml.Node | None) -> Problem | None:
    """Returns what is wrong where a few aliases stand for more than could be worked on."""
    # By node: how many values it stands for, and how deep they are nested.
    known: dict[int, tuple[int, int]] = {}

    def extent(node: yaml.Node, depth: int) -> tuple[int, int]:
        size, height = known.get(id(node), (0, 0))
        if depth + height > MAX_DEPTH:
            # One that holds itself comes here, too.
            raise _TooDeep
        if size:
            return size, height
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        extents = [extent(child, depth + 1) for child in children]
        size = 1 + sum(size for size, _ in extents)
        known[id(node)] = size, 1 + max((height for _, height in extents), default=0)
        return known[id(node)]

    if root is None:
        return None
    try:
        size, _ = extent(root, 0)
    except _TooDeep:
        return Problem("", "aliases nested too deep", f"at most {MAX_DEPTH} levels", line=1)
    if size > MAX_VALUES:
        return Problem(
            "", f"{_about(size)} values", f"at most {MAX_VALUES}, aliases included", line=1
        )
    return None


def _about(size: int) -> str:
    return f"{size}" if size < 10**12 else "10^12 or more"


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    # An anchor makes one node stand in several places.
    pending, seen = [root], set[int]()
    while pending:
        node = pending.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            pending += [part for pair in reversed(node.value) for part in reversed(pair)]
        elif isinstance(node, yaml.SequenceNode):
            pending += reversed(node.value)


def _syntax_problem(data: bytes, error: yaml.YAMLError) -> Problem:
    if len(data) <= _MAX_EXPLAINED_BYTES:
        try:
            compose(data, yaml.SafeLoader)
        except yaml.YAMLError as explained:
            error = explained
    if isinstance(error, yaml.reader.ReaderError):
        line = data[: error.position].count(b"\n") + 1
        if "characters are not allowed" in error.reason:
            return Problem("", f"the character {error.character!r}", "printable text", line=line)
        found, expected = f"text that is not UTF-8 ({error.reason})", "UTF-8"
        return Problem("", found, expected, line=line)
    return _problem_at(error)


def _problem_at(error: yaml.YAMLError) -> Problem:
    problem = str(getattr(error, "problem", None) or error)
    mark: yaml.Mark | None = getattr(error, "problem_mark", None)
    found, expected = _explained(problem)
    if mark is None:
        return Problem("", found, expected)
    context: str | None = getattr(error, "context", None)
    began: yaml.Mark | None = getattr(error, "context_mark", None)
    if began is not None and began.line != mark.line and str(context).startswith("while "):
        expected += f" ({context} that begins in line {began.line + 1})"
    return _marked(mark, found, expected)


def _explained(problem: str) -> tuple[str, str]:
    for start, found, expected in _EXPLAINED:
        if problem.startswith(start):
            return found + problem[len(start) :], expected
    match = _EXPECTED.fullmatch(problem)
    if match is not None:
        return match["found"], match["expected"]
    return problem.removeprefix("found "), "YAML"


def _marked(mark: yaml.Mark, found: str, expected: str) -> Problem:
    line = mark.line + 1
    return Problem(f"line {line}, column {mark.column + 1}", found, expected, line=line)
