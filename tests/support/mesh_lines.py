"""Log lines of real processes, found by their trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.running_mesh import RunningMesh
from tests.support.waiting import wait_for

Line = dict[str, Any]
Told = tuple[str, str]


def lines_of_trace(mesh: RunningMesh, trace_id: str) -> list[tuple[str, Line]]:
    """Returns process and content of each line that bears a trace id."""
    return [
        (process, line)
        for process in mesh.processes
        for line in lines_of(mesh, process)
        if line.get("trace", {}).get("id") == trace_id
    ]


def lines_of(mesh: RunningMesh, process: str) -> Iterator[Line]:
    """Yields what a process has written so far, but for a last line that is not whole yet."""
    for line in mesh.log(process).split("\n")[:-1]:
        if line.startswith("{"):
            yield json.loads(line)


def wait_for_lines(mesh: RunningMesh, trace_id: str, told: set[Told]) -> dict[Told, Line]:
    """Returns the lines of a trace by process and message, once these are those expected.

    Args:
        mesh: whose processes.
        trace_id: which trace.
        told: process and message of each, one line of each kind.
    """
    found: list[tuple[str, Line]] = []

    def all_there() -> bool:
        nonlocal found
        found = lines_of_trace(mesh, trace_id)
        return len(found) >= len(told)

    try:
        wait_for(all_there)
    finally:
        assert sorted((process, line["message"]) for process, line in found) == sorted(told)
    return {(process, line["message"]): line for process, line in found}
