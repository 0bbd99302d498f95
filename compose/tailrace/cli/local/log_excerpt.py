"""The lines of a log that tell why its process ended, short enough to be read on a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_MOST_LINES = 12
# Where everything is routine, only how it ended is of interest.
_MOST_ROUTINE_LINES = 3
_ROUTINE_LEVELS = ("debug", "info")
_ROUTINE = re.compile(
    r"I\d{4} \d\d:\d\d:"  # Triton
    r"|\d+:[A-Z] \d\d \w{3} \d{4} [\d:.]+ [.*-] "  # Redis
)
# Triton's tables are wide, and say nothing about what went wrong.
_TABLE_EDGES = ("|", "+")


def telling_lines(lines: Sequence[str]) -> list[str]:
    """Returns what to quote of a log's last lines: warnings, errors and plain text.

    Lines in ECS JSON come out as `TIME LEVEL: MESSAGE (LABELS)`. If all are routine, the last
    few of them are returned.
    """
    telling: list[str] = []
    routine: list[str] = []
    for line in lines:
        if not line.strip() or line.startswith(_TABLE_EDGES):
            continue
        event = _ecs_event(line)
        if event is not None:
            is_routine = event.get("log.level") in _ROUTINE_LEVELS
            line = _readable(event)
        else:
            is_routine = _ROUTINE.match(line) is not None
        (routine if is_routine else telling).append(line)
    return telling[-_MOST_LINES:] or routine[-_MOST_ROUTINE_LINES:]


def _ecs_event(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if "log.level" in event else None


def _readable(event: dict[str, Any]) -> str:
    time = str(event.get("@timestamp", ""))[11:19]
    text = f"{time} {event['log.level']}: {event.get('message', '')}"
    error = event.get("error")
    if isinstance(error, dict):
        text += f": {error.get('type', '')}: {error.get('message', '')}"
    labels = event.get("labels")
    if isinstance(labels, dict) and labels:
        text += f" ({', '.join(f'{name} {value}' for name, value in labels.items())})"
    return text
