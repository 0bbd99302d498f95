"""YAML as nodes that know their lines, and where in a file something stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

# libyaml's parser where PyYAML was built with it: twenty times as fast.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# libyaml's parser is happy to nest until the stack is gone, and the process with it.
MAX_DEPTH = 64

MAX_VALUES = 250_000
"""Most names and values of a file: each of them takes microseconds to read."""

_INDEX = re.compile(r"\[(\d+)\]")


def compose(data: bytes, loader: Any = LOADER) -> yaml.Node | None:
    """Returns the document as nodes, None if it is empty.

    Raises:
        yaml.YAMLError: it is not one YAML document, nested more than `MAX_DEPTH` deep, or has
            more than `MAX_VALUES` values.
    """
    depth = values = 0
    for event in yaml.parse(data, Loader=loader):
        values += isinstance(event, yaml.NodeEvent)
        if values > MAX_VALUES:
            raise _refused(event, f"found more than {MAX_VALUES} values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _refused(event, "found lists or mappings nested too deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return yaml.compose(data, Loader=loader)


def _refused(event: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def lines_of(file: Path, paths: Sequence[str]) -> list[int]:
    """Returns the line of each path, from 1; 0 where there is none.

    A path that ends in something missing has the line of what it is missing from.

    Args:
        file: a YAML file.
        paths: such as `ingest.steps[2].parts`.
    """
    if not file.is_file():
        return [0] * len(paths)
    try:
        root = compose(file.read_bytes())
    except (OSError, yaml.YAMLError):
        return [0] * len(paths)
    return [_line_of(root, path) for path in paths]


def _line_of(node: yaml.Node | None, path: str) -> int:
    line = 0
    while path and node is not None:
        step = _element(node, path) if isinstance(node, yaml.SequenceNode) else _value(node, path)
        if step is None:
            return line
        place, node, path = step
        line = place.start_mark.line + 1
    return line


def _value(node: yaml.Node, path: str) -> tuple[yaml.Node, yaml.Node, str] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    # Names may hold dots, so the longest that fits is meant.
    best: tuple[yaml.Node, yaml.Node, str] | None = None
    for key, value in node.value:
        name = str(key.value)
        rest = path[len(name) :]
        fits = path.startswith(name) and (not rest or rest[0] in ".[")
        if fits and (best is None or len(rest) < len(best[2])):
            best = key, value, rest
    return None if best is None else (best[0], best[1], best[2].removeprefix("."))


def _element(node: yaml.SequenceNode, path: str) -> tuple[yaml.Node, yaml.Node, str] | None:
    match = _INDEX.match(path)
    if match is None or int(match[1]) >= len(node.value):
        return None
    element = node.value[int(match[1])]
    return element, element, path[match.end() :].removeprefix(".")
