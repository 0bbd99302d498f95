"""How the command begins, and how Ctrl-C ends it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from tailrace.loadtest.options.command import main
from tailrace.loadtest.options.flags import all_flags
from tests.support.command import run_command
from tests.support.load_servers import LoadServer
from tests.support.start_process import StartProcess
from tests.support.waiting import is_gone, wait_for

MODULE = [sys.executable, "-m", "tailrace.loadtest"]


def test_the_command_line_lists_the_command(tmp_path: Path) -> None:
    assert " load " in run_command(["--help"], tmp_path, {}).stdout


@pytest.mark.parametrize("flag", ["--help", "-h", "--help-long"])
def test_help_lists_every_flag(tmp_path: Path, flag: str) -> None:
    told = run_command(["load", flag], tmp_path, {})
    assert (told.returncode, told.stderr) == (0, "")
    for each in all_flags():
        assert f"--{'no-' if each.name == 'hops' else ''}{each.name}" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 100


def test_the_version_is_tailraces(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-v"]) == 0
    assert capsys.readouterr().out == f"{version('tailrace')}\n"


def test_without_arguments_the_usage_is_shown(tmp_path: Path) -> None:
    told = run_command(["load"], tmp_path, {})
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("usage: tailrace load [FLAGS] HOST:PORT\n")


def test_arguments_reach_the_command_as_they_are(tmp_path: Path) -> None:
    told = run_command(["load", "-d@", "--", "-c"], tmp_path, {})
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == (
        "error: no method is named (name it with --call package.Service/Method)\n"
    )


def begun(
    start_process: StartProcess, server: LoadServer, folder: Path, *arguments: str
) -> subprocess.Popen[str]:
    """Returns a run that has made calls."""
    flags = ["--insecure", "--call=test.load.EchoService/Echo", "-c2", "--progress=off"]
    before = server.seen().calls
    process = start_process(
        [*MODULE, *flags, *arguments, server.target],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        # As in a shell, where the terminal's Ctrl-C is not for who tests.
        start_new_session=True,
    )
    # The first is that of reflection.
    wait_for(lambda: server.seen().calls > before + 10, timeout_s=30)
    return process


def test_ctrl_c_ends_a_run_early_with_a_report(
    start_process: StartProcess, load_server: LoadServer, tmp_path: Path
) -> None:
    process = begun(start_process, load_server, tmp_path, "-z10m", "-Ojson", "-oreport.json")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["endReason"] == "cancel"
    assert report["count"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_ctrl_c_twice_ends_a_run_at_once(
    start_process: StartProcess, start_load_server: Any, tmp_path: Path
) -> None:
    server = start_load_server()
    # Without a deadline, calls to a server that hangs are waited for as long as it does.
    process = begun(
        start_process, server, tmp_path, "-z10m", "-t0", "--duration-stop=wait", "-oreport.json"
    )
    helpers = psutil.Process(process.pid).children(recursive=True)
    server.freeze()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("interrupted: ")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert list(tmp_path.iterdir()) == []
    assert helpers
    wait_for(lambda: all(is_gone(helper.pid) for helper in helpers))


@pytest.mark.parametrize(
    ("shell", "status", "said"),
    [
        ("{run} > /dev/full", 2, "error: standard output cannot be written: No space left"),
        ("{run} -o/dev/full", 2, "error: /dev/full cannot be written: No space left"),
        ("{run} | true; exit ${{PIPESTATUS[0]}}", 0, ""),
    ],
)
def test_a_report_that_nobody_takes_is_no_traceback(
    load_server: LoadServer, shell: str, status: int, said: str
) -> None:
    flags = "--insecure --call=test.load.EchoService/Echo --progress=off -n5 -Ocsv"
    run = shlex.join([*MODULE, *flags.split(), load_server.target])
    told = subprocess.run(
        ["bash", "-c", shell.format(run=run)], capture_output=True, text=True, timeout=60
    )
    # What the run came to is not lost: its summary is told before the error.
    lines = told.stderr.splitlines() or [""]
    assert (told.returncode, lines[-1][: len(said)]) == (status, said)
    assert ("  Count:\t5" in lines) == bool(said)
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("command", ["plan", "scenario"])
def test_other_commands_have_arguments_of_their_own(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    assert command in capsys.readouterr().out
