"""Runs where standard streams are closed, files cannot be written, or SIGTERM comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.load_servers import LoadServer
from tests.support.start_process import StartProcess
from tests.support.waiting import wait_for

RUN = f"{sys.executable} -m tailrace.loadtest --insecure --call test.load.EchoService/Echo"


def shell(
    server: LoadServer, folder: Path, arguments: str, redirects: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs a command line, as a shell does."""
    line = f"exec {RUN} -n 6 -c 2 {arguments} {server.target} {redirects}"
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "redirects", "message"),
    [
        ("", ">&-", "standard output is closed (-o takes the report to a file)"),
        (
            "-d @",
            "<&-",
            "--data @: standard input is empty (pipe the data into it, or give a file)",
        ),
        (
            "-O csv --hgrm /dev/full -o /dev/null",
            "",
            "/dev/full cannot be written: No space left on device (the load is over, and this is "
            "not written: another place is needed)",
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_a_line(
    load_server: LoadServer, tmp_path: Path, arguments: str, redirects: str, message: str
) -> None:
    told = shell(load_server, tmp_path, arguments, redirects)
    assert (told.returncode, told.stdout, told.stderr) == (2, "", f"error: {message}\n")
    assert not list(tmp_path.iterdir())


def test_a_report_that_cannot_be_written_leaves_its_summary_and_the_distribution(
    load_server: LoadServer, tmp_path: Path
) -> None:
    told = shell(load_server, tmp_path, "-O json -o /dev/full --hgrm hgrm")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("\nSummary:\n  Count:\t6\n")
    assert told.stderr.endswith(
        "error: /dev/full cannot be written: No space left on device (the load is over; this was"
        " its summary)\n"
    )
    assert "Total count    =            6]" in (tmp_path / "hgrm").read_text()


def test_a_distribution_that_cannot_be_written_costs_no_report(
    load_server: LoadServer, tmp_path: Path
) -> None:
    assert shell(load_server, tmp_path, "-O json -o report --hgrm /dev/full").returncode == 2
    assert json.loads((tmp_path / "report").read_text())["count"] == 6


def test_of_two_files_that_cannot_be_written_both_are_told(
    load_server: LoadServer, tmp_path: Path
) -> None:
    told = shell(load_server, tmp_path, "-O json > /dev/full --hgrm /dev/full")
    assert told.returncode == 2
    first, second = told.stderr.splitlines()[-2:]
    assert first.startswith("error: /dev/full cannot be written: No space left on device")
    assert second.startswith("error: standard output cannot be written: No space left on device")


@pytest.mark.parametrize(
    ("limit", "nobody", "status"), [("p99<1h", "2> >(true)", 0), ("p99<1ns", "2> /dev/full", 1)]
)
def test_who_does_not_read_complaints_changes_no_status(
    load_server: LoadServer, tmp_path: Path, limit: str, nobody: str, status: int
) -> None:
    told = shell(load_server, tmp_path, f"-O json -o report --slo '{limit}'", nobody)
    assert told.returncode == status
    assert (tmp_path / "report").exists()


def test_no_room_for_records_of_calls_costs_no_report(
    load_server: LoadServer, tmp_path: Path
) -> None:
    # As little of a file as 585 records of 28 bytes.
    line = f"ulimit -f 16; exec {RUN} -n 1000 -c 2 -O csv -o report {load_server.target}"
    told = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0
    assert "warning: the report does not list all calls: File too large\n" in told.stderr
    assert len((tmp_path / "report").read_text().splitlines()) == 2 + 585


def test_no_room_for_what_standard_input_holds_is_told(
    load_server: LoadServer, tmp_path: Path
) -> None:
    line = f"head -c 99999 /dev/zero | (ulimit -f 16; exec {RUN} --binary {load_server.target})"
    told = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (told.returncode, told.stdout) == (2, "")
    assert "does not take what standard input holds: File too large (TMPDIR" in told.stderr


def test_an_interrupt_whose_reader_is_gone_leaves_a_report(
    start_process: StartProcess, load_server: LoadServer, tmp_path: Path
) -> None:
    before = load_server.seen().calls
    reading, writing = os.pipe()
    process = start_process(
        [*RUN.split(), "-z10m", "-c2", "-Ojson", "-oreport", load_server.target],
        cwd=tmp_path,
        stderr=writing,
        start_new_session=True,
    )
    os.close(reading)
    os.close(writing)
    wait_for(lambda: load_server.seen().calls > before + 10, timeout_s=30)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert json.loads((tmp_path / "report").read_text())["endReason"] == "cancel"


def test_a_run_needs_no_standard_stream_at_all(load_server: LoadServer, tmp_path: Path) -> None:
    # Were descriptors taken for others, errors of all calls would get among the report.
    arguments = """-O json -o report -d '{"code": 13}'"""
    told = shell(load_server, tmp_path, arguments, "<&- >&- 2>&-")
    assert told.returncode == 1
    assert json.loads((tmp_path / "report").read_text())["count"] == 6


def test_a_debug_log_that_cannot_be_written_ends_no_run(
    load_server: LoadServer, tmp_path: Path
) -> None:
    told = shell(load_server, tmp_path, "--debug /dev/full")
    assert told.returncode == 0
    assert told.stderr == (
        "warning: --debug: the log is not whole: [Errno 28] No space left on device\n"
    )


def test_a_report_may_have_the_longest_name(load_server: LoadServer, tmp_path: Path) -> None:
    name = "x" * 255
    assert shell(load_server, tmp_path, f"-o {name}").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGHUP])
def test_termination_is_as_ctrl_c(
    start_process: StartProcess, load_server: LoadServer, tmp_path: Path, stop: signal.Signals
) -> None:
    before = load_server.seen().calls
    process = start_process(
        [*RUN.split(), "-z10m", "-c2", "-Ocsv", "-oreport", load_server.target],
        cwd=tmp_path,
        env={"TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for(lambda: load_server.seen().calls > before + 10, timeout_s=30)
    process.send_signal(stop)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_ctrl_c_ends_the_wait_for_calls_without_a_deadline(
    start_process: StartProcess, load_server: LoadServer, tmp_path: Path
) -> None:
    before = load_server.seen().calls
    process = start_process(
        [
            *RUN.split(),
            *("-z1ms", "-c2", "-t0", "--duration-stop=wait", "-Ojson", "-oreport"),
            *('-d{"delay_ms": 600000}', load_server.target),
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    # A call is on its way for longer than a millisecond: time is up.
    wait_for(lambda: load_server.seen().calls >= before + 2, timeout_s=30)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    report = json.loads((tmp_path / "report").read_text())
    assert report["statusCodeDistribution"] == {"Canceled": 2}


def test_streams_that_their_caller_ends_are_answered(
    load_server: LoadServer, tmp_path: Path
) -> None:
    command = RUN.replace("/Echo", "/Repeat").split()
    flags = ["-n3", "-c1", "--stream-call-count=2", '-d{"answers": 1000}', "-Ojson"]
    told = subprocess.run(
        [*command, *flags, load_server.target],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # As in ghz, they count as cancelled.
    assert json.loads(told.stdout)["statusCodeDistribution"] == {"Canceled": 3}
    # A busy machine may make the generator the limit, which is a warning.
    complaints = [line for line in told.stderr.splitlines() if not line.startswith("warning:")]
    assert (told.returncode, complaints) == (0, [])
