import io
import json
import logging
import os
import re
import socket
from typing import Any

import pytest
import structlog

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import ProcessSettings
from tailrace.runtime.errors import InvalidField
from tailrace.runtime.log_fields import FIELDS
from tailrace.runtime.log_line import MAX_TEXT
from tailrace.runtime.log_stdlib import LibraryHandler
from tailrace.runtime.logs import (
    SUPPRESSED,
    configure_logs,
    failure_fields,
    may_tell_failure,
    sampled,
)


@pytest.fixture
def open_logs() -> Any:
    """Returns what configures logs, and returns what reads them."""
    opened = []

    def configure(**settings: Any) -> Any:
        stream = io.StringIO()
        logs = configure_logs(ProcessSettings(environment="test", **settings), "gateway", stream)
        opened.append(logs)

        def read() -> Any:
            logs.close()
            return [json.loads(line) for line in stream.getvalue().splitlines()]

        return read

    yield configure
    for logs in opened:
        logs.close()
    # What these tests have set must not outlive them.
    configure_logs(ProcessSettings(), "gateway", io.StringIO()).close()
    structlog.reset_defaults()


@pytest.fixture
def lines(open_logs: Any) -> Any:
    return open_logs()


def test_a_line_is_one_ecs_object(lines: Any) -> None:
    structlog.get_logger("some.module").info("made", **{"event.duration": 5, "pipeline": "p"})
    (line,) = lines()
    assert line["message"] == "made"
    assert line["log.level"] == "info"
    assert line["log"] == {"logger": "some.module"}
    assert line["event"]["duration"] == 5
    assert line["event"]["dataset"] == "tailrace.gateway"
    assert line["data_stream"] == {
        "type": "logs",
        "dataset": "tailrace.gateway",
        "namespace": "default",
    }
    assert line["labels"] == {"pipeline": "p"}
    assert line["service"]["name"] == "tailrace.gateway"
    assert line["service"]["environment"] == "test"
    assert line["process"]["pid"] == os.getpid()
    assert line["@timestamp"].endswith("Z")
    assert "ecs.version" in line


def test_what_the_list_of_fields_does_not_name_goes_where_no_mapping_refuses_it(lines: Any) -> None:
    structlog.get_logger().info("made", port=80, **{"strange.name": ["a", 1]})
    (line,) = lines()
    assert line["tailrace"] == {"details": {"port": "80", "strange.name": "['a', 1]"}}
    assert "labels" not in line


def test_every_name_of_a_log_field_has_a_type() -> None:
    spelled = {
        value
        for name, value in vars(names).items()
        if name.isupper()
        and isinstance(value, str)
        and "." in value
        and not value.startswith("tailrace_")
    }
    assert {"trace.id", "labels.reason", "tailrace.ledger.total_ns"} <= spelled
    assert spelled - set(FIELDS) == set()


def test_text_cannot_forge_a_line_and_is_cut(lines: Any) -> None:
    structlog.get_logger().info("a\nb", note="x" * 100_000)
    (line,) = lines()
    assert line["message"] == "a\nb"
    assert len(line["tailrace"]["details"]["note"]) < 10_000


def test_an_exception_is_told_by_type_message_and_stack(lines: Any) -> None:
    try:
        raise ValueError("wrong")
    except ValueError as error:
        structlog.get_logger().error("failed", exc_info=error)
    (line,) = lines()
    assert line["error"]["type"] == "ValueError"
    assert line["error"]["message"] == "wrong"
    assert "test_logs.py" in line["error"]["stack_trace"]


def test_lower_levels_are_left_out(lines: Any) -> None:
    structlog.get_logger().debug("quiet")
    assert lines() == []


def test_what_libraries_log_becomes_lines_from_warnings_upwards(lines: Any) -> None:
    logging.getLogger("grpc._plugin").warning("lost %s", "a connection")
    logging.getLogger("grpc._plugin").info("nothing of note")
    try:
        raise OSError("away")
    except OSError:
        logging.getLogger("asyncio").exception("never retrieved")
    lost, away = lines()
    assert (lost["log"], lost["log.level"]) == ({"logger": "grpc._plugin"}, "warning")
    assert lost["message"] == "lost a connection"
    assert lost["service"]["name"] == "tailrace.gateway"
    assert (away["error"]["type"], away["error"]["message"]) == ("OSError", "away")


def test_a_library_that_errs_in_its_own_text_is_told_all_the_same() -> None:
    told: list[tuple[str, str]] = []
    handler = LibraryHandler(lambda level, message, _: told.append((level, message)))
    for text, value in (("%d keys", "none"), ("%(a)s", {"b": 1}), ("%s", _Mute())):
        handler.emit(logging.LogRecord("redis", logging.ERROR, "", 1, text, (value,), None))
    assert told == [("error", "%d keys"), ("error", "%(a)s"), ("error", "%s")]


def test_a_storm_of_failures_is_held_back_by_reason_and_its_size_is_told(open_logs: Any) -> None:
    lines = open_logs(log_failures_per_s=2)
    refused = failure_fields(InvalidField("wrong", field="fields.a"))
    for _ in range(1_000):
        structlog.get_logger().warning("prediction failed", **refused)
    structlog.get_logger().warning("prediction failed", **{**refused, names.REASON: "OTHER"})
    structlog.get_logger().info("prediction made", **{names.EVENT_OUTCOME: "success"})
    told = lines()
    failed = [line for line in told if line["message"] == "prediction failed"]
    by_reason = [line["labels"]["reason"] for line in failed]
    assert 10 <= by_reason.count("INVALID_FIELD") <= 100
    assert by_reason.count("OTHER") == 1
    assert any(line["message"] == "prediction made" for line in told)
    held_back = [line["labels"] for line in told if line["message"] == "log lines held back"]
    assert {labels["reason"] for labels in held_back} == {"INVALID_FIELD"}
    suppressed = sum(labels["suppressed_lines"] for labels in held_back)
    assert suppressed + by_reason.count("INVALID_FIELD") == 1_000


def test_failures_below_the_level_are_neither_told_nor_held_back(open_logs: Any) -> None:
    lines = open_logs(log_failures_per_s=1, log_level="error")
    assert not any(may_tell_failure("INVALID_FIELD") for _ in range(20))
    assert lines() == []


def test_no_line_shows_a_redacted_field(open_logs: Any) -> None:
    lines = open_logs(log_redacted_fields=("origin",))
    log = structlog.get_logger()
    # Not in the source, whose lines a stack shows.
    secret = "".join(["SEC", "RET"])
    for field in ("fields.origin", "request.fields.origin", "requests[3].fields.origin[2]"):
        log.warning("failed", **failure_fields(InvalidField(f"found {secret}", field=field)))
    log.warning("failed", **failure_fields(InvalidField("too long", field="fields.dest")))
    try:
        raise ValueError(secret)
    except ValueError as error:
        try:
            raise KeyError(secret) from error
        except KeyError as later:
            log.error("unexpected", exc_info=later)
    logging.getLogger("library").error(secret)
    told = lines()
    assert "SECRET" not in json.dumps(told)
    assert [line["error"]["message"] for line in told[:4]] == ["[redacted]"] * 3 + ["too long"]
    stack = told[4]["error"]["stack_trace"]
    assert "test_logs.py" in stack
    assert stack.endswith("KeyError")
    assert "ValueError" in stack
    assert len(told) == 6


class _Mute(Exception):
    """Has no text: its own code raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __str__ = __repr__


def _endless() -> list[object]:
    endless: list[object] = []
    endless.append(endless)
    return endless


def _nested(levels: int) -> dict[str, object]:
    nested: dict[str, object] = {}
    for _ in range(levels):
        nested = {"in": nested}
    return nested


@pytest.mark.parametrize("name", [names.EVENT_DURATION_NS, names.REQUEST_FIELDS, "anything\0"])
def test_whatever_a_field_holds_there_is_a_line_that_others_can_read(lines: Any, name: str) -> None:
    values: list[object] = [
        float("nan"), float("-inf"), 10**5_000, -(10**30), _Mute(), _endless(), _nested(5_000),
        {(1, 2): 3}, {"a": _Mute()}, ["x" * 100_000] * 10_000, {"x" * 10_000: "y" * 10_000},
        "\ud800", "\0", b"\xff", {"a\0b": "c"}, object(), {1, 2}, [float("inf")],
    ]  # fmt: skip
    for value in values:
        structlog.get_logger().info("made", **{name: value, "pipeline": "p"})
    told = lines()
    assert [line["labels"]["pipeline"] for line in told] == ["p"] * len(values)
    for line in told:
        written = json.dumps(line)
        assert len(written) < 300_000
        # JSON has no such numbers, and Elasticsearch takes no null character in a name.
        assert not {"NaN", "Infinity", "-Infinity"} & set(re.findall(r"-?\w+", written))
        assert not any("\0" in key for key in line.get("tailrace", {}).get("details", ()))


def test_only_fields_of_that_type_are_objects(lines: Any) -> None:
    structlog.get_logger().info("made", **dict.fromkeys(FIELDS, {"a": 1}))
    (line,) = lines()
    objects = {name for name, kind in FIELDS.items() if kind == "flattened"} - {names.DETAILS}
    told = {
        f"{group}.{name}"
        for group, members in line.items()
        if isinstance(members, dict)
        for name, value in members.items()
        if value == {"a": 1}
    }
    assert told == objects


def test_a_field_is_told_once_whatever_names_it_has(lines: Any) -> None:
    log = structlog.get_logger()
    log.info("made", pipeline="a", **{names.PIPELINE: "b", names.EVENT_DATASET: "c", "log": "d"})
    log.info("made", **{"log.level": "e", "message": "f", names.DETAILS: "g", "@timestamp": "h"})
    first, second = lines()
    assert (first["labels"]["pipeline"], first["event"]["dataset"]) == ("b", "c")
    assert first["tailrace"]["details"] == {"log": "d"}
    assert (second["message"], second["log.level"]) == ("made", "info")
    assert second["tailrace"]["details"].keys() == {
        "log.level", "message", names.DETAILS, "@timestamp",
    }  # fmt: skip


def test_a_long_stack_is_cut_in_the_middle(lines: Any) -> None:
    def fall(depth: int) -> int:
        if not depth:
            raise ValueError("at the bottom")
        # Not so alike that a traceback would fold them.
        if depth % 2:
            return fall(depth - 1)
        return 1 + fall(depth - 1)

    try:
        fall(200)
    except ValueError as error:
        structlog.get_logger().error("failed", exc_info=error)
    (line,) = lines()
    stack = line["error"]["stack_trace"]
    assert len(stack) <= MAX_TEXT
    assert stack.startswith("Traceback")
    assert stack.endswith("ValueError: at the bottom")


def test_an_exception_without_a_text_is_told_all_the_same(lines: Any) -> None:
    try:
        raise _Mute
    except _Mute as error:
        structlog.get_logger().error("failed", exc_info=error)
    (line,) = lines()
    assert line["error"]["type"] == "_Mute"
    assert line["error"]["message"] == "[_Mute has no text]"


def test_every_output_tells_what_was_held_back(open_logs: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        lines = open_logs(log_failures_per_s=1, log_tcp=f"127.0.0.1:{port}")
        refused = failure_fields(InvalidField("wrong", field="fields.a"))
        for _ in range(20):
            structlog.get_logger().warning("prediction failed", **refused)
        connection, _ = listener.accept()
        with connection, connection.makefile() as sent:
            # Once a second, and not only as the process ends.
            over_tcp = next(line for line in map(json.loads, sent) if line["message"] == SUPPRESSED)
    assert over_tcp["labels"]["suppressed_lines"] == 15
    assert SUPPRESSED in [line["message"] for line in lines()]


def test_sampling_is_alike_everywhere_and_near_its_rate() -> None:
    ids = [f"request-{number}" for number in range(20_000)]
    assert not any(sampled(request_id, 0.0) for request_id in ids)
    assert all(sampled(request_id, 1.0) for request_id in ids)
    assert 120 <= sum(sampled(request_id, 0.01) for request_id in ids) <= 280
