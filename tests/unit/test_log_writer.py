"""Outputs that are slow, full, gone or back: nothing stalls, all is counted."""

from __future__ import annotations

import io
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tailrace.runtime import log_tcp
from tailrace.runtime.log_outputs import DescriptorOutput, FileOutput, Output, TextOutput
from tailrace.runtime.log_tcp import TcpOutput
from tailrace.runtime.log_writer import QUEUE_BYTES, QUEUE_LINES, LineWriter

Open = Callable[[Output], LineWriter]


@pytest.fixture
def open_writer() -> Iterator[Open]:
    writers = []

    def opened(output: Output) -> LineWriter:
        writer = LineWriter(output, lambda name, lines: f"dropped {lines} of {name}")
        writers.append(writer)
        return writer

    yield opened
    for writer in writers:
        writer.close(0.1)


def dropped(output: str) -> float:
    value = REGISTRY.get_sample_value("tailrace_log_lines_dropped_total", {"output": output})
    return value or 0.0


class _Stuck(io.StringIO):
    """An output that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.let_go = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.let_go.wait()
        return super().write(text)


def test_a_stuck_output_never_blocks_and_its_drops_are_bounded_counted_and_told(
    open_writer: Open,
) -> None:
    stream, before = _Stuck(), dropped("stdout")
    writer = open_writer(TextOutput(stream))
    for number in range(25_000):
        writer.write(str(number))
    stream.let_go.set()
    writer.close(5.0)
    written = stream.getvalue().splitlines()
    notices = [line for line in written if line.startswith("dropped")]
    assert len(written) - len(notices) == QUEUE_LINES
    assert written[:3] == ["0", "1", "2"]
    assert notices == [f"dropped {25_000 - QUEUE_LINES} of stdout"]
    assert dropped("stdout") - before == 25_000 - QUEUE_LINES


def test_long_lines_are_bounded_by_their_bytes(open_writer: Open) -> None:
    stream = _Stuck()
    writer = open_writer(TextOutput(stream))
    line = "x" * 100_000
    for _ in range(1_000):
        writer.write(line)
    stream.let_go.set()
    writer.close(5.0)
    assert QUEUE_BYTES - 2 * len(line) < len(stream.getvalue()) < QUEUE_BYTES + 100


def test_a_full_pipe_is_waited_for_and_gets_whole_lines(open_writer: Open) -> None:
    reading, writing = os.pipe()
    writer = open_writer(DescriptorOutput(writing))
    lines = [f"{number:05} " + "x" * 300 for number in range(2_000)]
    for line in lines:
        writer.write(line)
    read = b""
    while read.count(b"\n") < len(lines):
        read += os.read(reading, 65_536)
    assert read.decode().splitlines() == lines
    os.close(reading)
    os.close(writing)


def test_a_pipe_that_nobody_reads_does_not_hold_up_the_end(open_writer: Open) -> None:
    reading, writing = os.pipe()
    before = dropped("stdout")
    writer = open_writer(DescriptorOutput(writing))
    for _ in range(2_000):
        writer.write("x" * 1_000)
    writer.close(0.3)
    # What the pipe holds was written; the rest is counted.
    assert dropped("stdout") - before > 1_500
    os.close(reading)
    os.close(writing)


def test_a_reader_that_has_ended_costs_lines_and_nothing_else(open_writer: Open) -> None:
    reading, writing = os.pipe()
    before = dropped("stdout")
    writer = open_writer(DescriptorOutput(writing))
    os.close(reading)
    writer.write("unheard")
    writer.close(1.0)
    assert dropped("stdout") - before == 1
    os.close(writing)


def test_a_full_disk_is_counted_and_told_and_no_line_is_spoilt(open_writer: Open) -> None:
    before = dropped("stdout")
    full = os.open("/dev/full", os.O_WRONLY)
    writer = open_writer(DescriptorOutput(full))
    writer.write("lost")
    for _ in _until(lambda: dropped("stdout") > before):
        pass
    # What was full has room again: the descriptor goes to a file from here on.
    reading, writing = os.pipe()
    os.dup2(writing, full)
    writer.write("kept")
    writer.close(1.0)
    assert os.read(reading, 4_096).decode().splitlines() == ["kept", "dropped 1 of stdout"]
    for descriptor in (full, reading, writing):
        os.close(descriptor)


@pytest.mark.parametrize("how", ["renamed", "removed", "truncated"])
def test_a_rotated_file_is_followed(open_writer: Open, tmp_path: Path, how: str) -> None:
    path, before = tmp_path / "log", dropped("file")
    writer = open_writer(FileOutput(path))
    writer.write("old")
    for _ in _until(lambda: path.read_text() == "old\n"):
        pass
    if how == "renamed":
        path.rename(tmp_path / "log.1")
    elif how == "removed":
        path.unlink()
    else:
        path.write_text("")
    writer.write("new")
    writer.close(1.0)
    assert path.read_text() == "new\n"
    if how == "renamed":
        assert (tmp_path / "log.1").read_text() == "old\n"
    assert dropped("file") == before


def test_a_file_whose_folder_is_gone_is_counted_and_made_anew(
    open_writer: Open, tmp_path: Path
) -> None:
    folder, before = tmp_path / "logs", dropped("file")
    folder.mkdir()
    writer = open_writer(FileOutput(folder / "log"))
    (folder / "log").unlink()
    folder.rmdir()
    writer.write("lost")
    for _ in _until(lambda: dropped("file") > before):
        pass
    folder.mkdir()
    writer.write("kept")
    writer.close(1.0)
    assert (folder / "log").read_text().splitlines() == ["kept", "dropped 1 of file"]


def test_a_named_pipe_is_written_to_once_somebody_reads_it(
    open_writer: Open, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device or address"):
        FileOutput(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = open_writer(FileOutput(path))
    lines = [f"{number:05} " + "x" * 9_000 for number in range(50)]
    for line in lines:
        writer.write(line)
    os.set_blocking(reading, True)
    read = b""
    while read.count(b"\n") < len(lines):
        read += os.read(reading, 65_536)
    assert read.decode().splitlines() == lines
    os.close(reading)


def _until(condition: Callable[[], bool]) -> Iterator[None]:
    """Yields until a condition that another thread brings about holds."""
    waited = threading.Event()
    while not condition():
        waited.wait(0.01)
        yield


class _Listener:
    """A receiver of lines on a port that it keeps."""

    def __init__(self, port: int = 0) -> None:
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = int(self.socket.getsockname()[1])

    def accept(self) -> socket.socket:
        return self.socket.accept()[0]

    def close(self) -> None:
        self.socket.close()


def _read_lines(connection: socket.socket, count: int) -> list[str]:
    read = b""
    while read.count(b"\n") < count:
        data = connection.recv(65_536)
        assert data
        read += data
    return read.decode().splitlines()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tcp, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(log_tcp, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(log_tcp, "SEND_TIMEOUT_S", 0.5)


@pytest.mark.usefixtures("impatient")
def test_lines_wait_for_a_logstash_that_is_down_and_reach_it_when_it_is_back(
    open_writer: Open,
) -> None:
    listener = _Listener()
    listener.close()
    before = dropped("tcp")
    writer = open_writer(TcpOutput("127.0.0.1", listener.port))
    writer.write("early")
    back = _Listener(listener.port)
    with back.accept() as connection:
        assert _read_lines(connection, 1) == ["early"]
        writer.write("later")
        assert _read_lines(connection, 1) == ["later"]
    back.close()
    assert dropped("tcp") == before


@pytest.mark.usefixtures("impatient")
def test_lines_go_on_after_a_reset(open_writer: Open) -> None:
    listener = _Listener()
    writer = open_writer(TcpOutput("127.0.0.1", listener.port))
    writer.write("one")
    first = listener.accept()
    assert _read_lines(first, 1) == ["one"]
    # No lingering: the connection is reset.
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    first.close()
    writer.write("two")
    with listener.accept() as second:
        assert _read_lines(second, 1) == ["two"]
    listener.close()


@pytest.mark.usefixtures("impatient")
def test_a_logstash_that_never_reads_is_given_up_and_the_queue_stays_bounded(
    open_writer: Open,
) -> None:
    listener, before = _Listener(), dropped("tcp")
    writer = open_writer(TcpOutput("127.0.0.1", listener.port))
    line = "x" * 10_000
    for _ in range(3_000):
        writer.write(line)
    hung = listener.accept()
    # It was given up, and is called anew.
    with listener.accept() as second:
        # 30 MB were written; the kernel holds some, the queue 8 MiB.
        assert dropped("tcp") - before > 500
        assert select.select([second], [], [], 10)[0]
        got: Any = _read_lines(second, 2)
        # None is cut off at its head; the line about the drops may be among them.
        assert all(each == line or each.startswith("dropped") for each in got[:2])
    hung.close()
    listener.close()
