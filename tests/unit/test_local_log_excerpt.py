"""What is quoted of a log: the lines that tell why its process ended."""

from __future__ import annotations

import json

from tailrace.cli.local.log_excerpt import telling_lines


def ecs(level: str, message: str, **fields: object) -> str:
    """Returns a line as the mesh's own processes write it."""
    time = "2026-01-02T03:04:05.678Z"
    return json.dumps({"@timestamp": time, "log.level": level, "message": message, **fields})


def test_warnings_and_errors_come_before_routine() -> None:
    lines = [
        ecs("info", "serving"),
        ecs("warning", "redis is gone", labels={"view": "plane", "attempts": 3}),
        ecs("error", "cannot go on", error={"type": "OSError", "message": "no disk"}),
        ecs("info", "not serving"),
    ]
    assert telling_lines(lines) == [
        "03:04:05 warning: redis is gone (view plane, attempts 3)",
        "03:04:05 error: cannot go on: OSError: no disk",
    ]


def test_routine_is_quoted_where_there_is_nothing_else() -> None:
    lines = [ecs("info", f"step {number}") for number in range(20)]
    assert telling_lines(lines) == [f"03:04:05 info: step {number}" for number in (17, 18, 19)]


def test_plain_text_stands_as_it_is() -> None:
    lines = [ecs("info", "serving"), "Traceback (most recent call last):", "", "{half", "OSError"]
    assert telling_lines(lines) == ["Traceback (most recent call last):", "{half", "OSError"]


def test_errors_of_triton_come_before_its_routine_and_tables() -> None:
    error = "E1122 02:44:44.822591 28335 model_lifecycle.cc:642] \"failed to load 'm'\""
    lines = ["I1122 02:44:44.1 28335 server.cc:604]", "+---+", "| a |", error, "+---+"]
    assert telling_lines(lines) == [error]


def test_warnings_of_redis_come_before_its_routine() -> None:
    routine = "1:M 22 Nov 2026 02:44:44.123 * Ready to accept connections"
    warning = "1:M 22 Nov 2026 02:44:44.124 # Out of memory"
    assert telling_lines([routine, warning, routine]) == [warning]


def test_nothing_is_quoted_of_an_empty_log() -> None:
    assert telling_lines([]) == []
