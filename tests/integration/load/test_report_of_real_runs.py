"""Reports of real runs, and progress on a real terminal."""

import csv
import io
import itertools
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tailrace.loadtest.options.command import main
from tests.support.load_servers import LoadServer
from tests.support.terminal import Terminal

# As a login does: the terminal's Ctrl-C goes to the process and to those that it starts.
CONTROLLED = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("tailrace.loadtest", run_name="__main__", alter_sys=True)
"""
ECHO = ("--insecure", "--call", "test.load.EchoService/Echo", "--progress", "off")


def report(server: LoadServer, path: Path, form: str, *flags: str) -> tuple[int, str]:
    status = main([*ECHO, "-O", form, "-o", str(path), *flags, server.target])
    return status, path.read_text(encoding="utf-8")


def test_json_lists_each_call(load_server: LoadServer, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    status, text = report(
        load_server,
        tmp_path / "report.json",
        "json",
        *("-n", "60", "-c", "5", "--cpus", "2", "-r", "300", "--async"),
        *("-d", '{"text":"a","code":{{if eq .RequestNumber 7}}5{{else}}0{{end}},"message":"no"}'),
    )
    told: dict[str, Any] = json.loads(text)
    assert status == 0
    assert told["count"] == len(told["details"]) == 60
    assert told["statusCodeDistribution"] == {"OK": 59, "NotFound": 1}
    assert [call["error"] for call in told["details"] if call["status"] != "OK"] == [
        "rpc error: code = NotFound desc = no"
    ]
    ended = [datetime.fromisoformat(call["timestamp"]) for call in told["details"]]
    assert ended == sorted(ended)
    assert before <= ended[0] <= ended[-1] <= datetime.now(UTC)
    answered = [call["latency"] for call in told["details"] if call["status"] == "OK"]
    assert (told["fastest"], told["slowest"]) == (min(answered), max(answered))
    assert sum(bar["count"] for bar in told["histogram"]) == 59
    assert told["tailrace"]["corrected"]["count"] == 59
    assert told["tailrace"]["lag"]["count"] == 60
    assert sum(process["ended"] for process in told["tailrace"]["generator"]["processes"]) == 60


def test_csv_and_influx_list_each_call(load_server: LoadServer, tmp_path: Path) -> None:
    flags = ("-n", "20", "-c", "2", "-d", '{"code":9,"message":"a, \\"b\\""}', "--count-errors")
    status, text = report(load_server, tmp_path / "report.csv", "csv", *flags)
    rows = list(csv.reader(io.StringIO(text)))[1:]
    # No call was answered OK.
    assert status == 1
    assert rows[0] == ["duration (ms)", "status", "error"]
    failed = ["FailedPrecondition", 'rpc error: code = FailedPrecondition desc = a, "b"']
    assert [row[1:] for row in rows[1:]] == [failed] * 20
    _, text = report(load_server, tmp_path / "report.lines", "influx-details", *flags)
    lines = text.splitlines()
    assert len(lines) == 20
    assert all(
        re.search(r'latency=\d+,error=".+",status="FailedPrecondition" \d{19}$', line)
        for line in lines
    )


@pytest.mark.parametrize("stop", ["ctrl-c", "end"])
def test_progress_leaves_the_terminal_as_it_was(
    stop: str, load_server: LoadServer, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    flags = ["--insecure", "--call", "test.load.EchoService/Echo", "-O", "json", "-o", str(path)]
    flags += ["-z", "60s" if stop == "ctrl-c" else "1s", "-c", "4", "-d", '{"delay_ms":2}']
    with Terminal() as terminal:
        process = subprocess.Popen(
            [sys.executable, "-c", CONTROLLED, *flags, load_server.target],
            stdin=terminal.file,
            stdout=terminal.file,
            stderr=terminal.file,
            start_new_session=True,
            env=os.environ | {"TERM": "xterm-256color"},
        )
        try:
            terminal.wait_for(b"in flight")
            if stop == "ctrl-c":
                assert terminal.screen()[0] == f"test.load.EchoService/Echo at {load_server.target}"
                terminal.press(b"\x03")
            status = process.wait(30)
        finally:
            process.kill()
            process.wait()
        # That the run ends early is told above the view, and stays.
        # So does, last of all and maybe in several rows, that a busy machine was the limit.
        rows = itertools.takewhile(lambda row: not row.startswith("warning:"), terminal.screen())
        assert [row for row in rows if not row.startswith("interrupted:")] == []
        assert terminal.cursor_shown and not terminal.styled
    told = json.loads(path.read_text(encoding="utf-8"))
    assert (status, told["endReason"]) == ((130, "cancel") if stop == "ctrl-c" else (0, "timeout"))
    assert told["count"] == len(told["details"]) > 0
