import io
import json
import os
import threading
from typing import Any

import pytest
import structlog

from tailrace.runtime.config import ProcessSettings
from tailrace.runtime.logs import LineWriter, configure_logs, sampled


@pytest.fixture
def lines() -> Any:
    settings = ProcessSettings(environment="test", log_level="info")
    stream = io.StringIO()
    writer = configure_logs(settings, "gateway", stream)

    def read() -> Any:
        writer.close()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    structlog.reset_defaults()


def test_a_line_is_one_ecs_object(lines: Any) -> None:
    structlog.get_logger().info("made", **{"event.duration": 5, "pipeline": "p"})
    (line,) = lines()
    assert line["message"] == "made"
    assert line["log.level"] == "info"
    assert line["event"]["duration"] == 5
    assert line["event"]["dataset"] == "tailrace.gateway"
    assert line["labels"] == {"pipeline": "p"}
    assert line["service"]["name"] == "tailrace.gateway"
    assert line["service"]["environment"] == "test"
    assert line["process"]["pid"] == os.getpid()
    assert line["@timestamp"].endswith("Z")
    assert "ecs.version" in line


def test_text_cannot_forge_a_line_and_is_cut(lines: Any) -> None:
    structlog.get_logger().info("a\nb", note="x" * 100_000)
    (line,) = lines()
    assert line["message"] == "a\nb"
    assert len(line["labels"]["note"]) < 10_000


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


class _Stuck(io.StringIO):
    """An output that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def write(self, text: Any) -> Any:
        self.let_go.wait()
        return super().write(text)


def test_a_stuck_output_never_blocks_and_drops_are_bounded() -> None:
    stream = _Stuck()
    writer = LineWriter(stream)
    for number in range(25_000):
        writer.msg(str(number))
    stream.let_go.set()
    writer.close(5.0)
    written = stream.getvalue().splitlines()
    assert 10_000 <= len(written) <= 10_002
    assert written[:3] == ["0", "1", "2"]


def test_sampling_is_alike_everywhere_and_near_its_rate() -> None:
    ids = [f"request-{number}" for number in range(20_000)]
    assert not any(sampled(request_id, 0.0) for request_id in ids)
    assert all(sampled(request_id, 1.0) for request_id in ids)
    assert 120 <= sum(sampled(request_id, 0.01) for request_id in ids) <= 280
