"""Whole runs of `tailrace load` against a server: what is written where, and the exit status."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tailrace.loadtest.options.command import main
from tests.support.load_messages import echo_request
from tests.support.load_servers import LoadServer

ECHO = ["--insecure", "--call=test.load.EchoService/Echo", "--progress=off", "-c2"]


class Standard(io.TextIOWrapper):
    """What stands in for standard input."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def echoes(server: LoadServer, *arguments: str) -> int:
    return main([*ECHO, *arguments, server.target])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_report_goes_to_standard_output(
    load_server: LoadServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert echoes(load_server, "-n20", "-Ojson", "--name=a run", '--tags={"env": "test"}') == 0
    told = capsys.readouterr()
    report = json.loads(told.out)
    assert told.err == ""
    assert (report["count"], report["name"], report["tags"]) == (20, "a run", {"env": "test"})
    assert report["statusCodeDistribution"] == {"OK": 20}


def test_a_report_takes_the_place_of_a_file_and_leaves_nothing_beside_it(
    load_server: LoadServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "old").write_text("of yesterday")
    (folder / "link").symlink_to("old")
    files = ["-olink", "--hgrm=latencies", "--debug=log"]
    assert echoes(load_server, "-n20", "-Ojson", *files) == 0
    assert capsys.readouterr().out == ""
    assert names(folder) == {"old", "link", "latencies", "log"}
    assert json.loads((folder / "old").read_text())["count"] == 20
    assert (folder / "link").is_symlink()
    assert "Total count    =           20]" in (folder / "latencies").read_text()
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    assert {"level", "time", "message"} <= set(lines[0])
    assert lines[-1]["exit_status"] == 0


def test_a_configuration_file_makes_a_run_and_flags_change_it(
    load_server: LoadServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "run.toml").write_text(
        'call = "test.load.EchoService.Echo"\ninsecure = true\ntotal = 5\nconcurrency = 1\n'
        f'host = "{load_server.target}"\nformat = "json"\nprogress = "off"\n'
        '[data]\ntext = "{{.RequestNumber}}"\n'
    )
    assert main(["--config", "run.toml", "-n7"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["count"] == 7
    assert report["options"]["data"] == {"text": "{{.RequestNumber}}"}


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        (["-d", "@"], b'{"code": 5, "message": "from stdin"}'),
        (["-b"], echo_request(code=5, message="from stdin")),
    ],
)
def test_data_comes_through_standard_input(
    load_server: LoadServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    content: bytes,
) -> None:
    monkeypatch.setattr(sys, "stdin", Standard(content))
    assert echoes(load_server, "-n4", "-Ojson", *arguments) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["errorDistribution"] == {"rpc error: code = NotFound desc = from stdin": 4}


def test_objectives_decide_the_exit_status(
    load_server: LoadServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert echoes(load_server, "-n20", "-Ojson", "--slo=errors<1%", "--slo", "p99<1h") == 0
    assert [line[:8] for line in capsys.readouterr().err.splitlines()] == ["passed: ", "passed: "]
    assert echoes(load_server, "-n20", "-Ojson", "--slo=errors<1%", "--slo=p50<1ns") == 1
    assert [line[:8] for line in capsys.readouterr().err.splitlines()] == ["passed: ", "FAILED: "]


def test_a_summary_tells_verdicts_itself(
    load_server: LoadServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert echoes(load_server, "-n20", "--slo=p50<1ns") == 1
    told = capsys.readouterr()
    assert "FAILED" in told.out
    assert told.err == ""
    # Of one in a file, nobody would see it.
    assert echoes(load_server, "-n20", "--slo=p50<1ns", "-osummary") == 1
    assert capsys.readouterr().err.startswith("FAILED: ")


def earlier_report(folder: Path) -> str:
    """Writes a report of ghz's, of a run of 6 s with 20 calls a second; returns the flag for it."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    details = [
        {
            "timestamp": (begin + timedelta(seconds=number / 20)).isoformat(),
            "latency": 900_000_000,
            "error": "",
            "status": "OK",
        }
        for number in range(120)
    ]
    report = {
        "date": begin.isoformat(),
        "count": 120,
        "total": 6_000_000_000,
        "options": {"rps": 20},
        "details": details,
    }
    (folder / "before.json").write_text(json.dumps(report))
    return "--baseline=before.json"


def test_a_run_that_is_not_worse_than_an_earlier_one_is_good(
    load_server: LoadServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = earlier_report(folder)
    assert (
        echoes(load_server, baseline, "-Ojson", "-z5500ms", "-r20", "--baseline-tolerance=90%") == 0
    )
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if line.startswith("passed: p50: better, 900")]


def test_a_run_that_cannot_be_compared_with_an_earlier_one_is_not_good(
    load_server: LoadServer, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert echoes(load_server, earlier_report(folder), "-Ojson", "-n5") == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["count"] == 5
    assert "FAILED: run: not compared, this run is too short" in told.err


def test_calls_that_all_failed_fail_the_run(
    load_server: LoadServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert echoes(load_server, "-n4", "-Ojson", '-d{"code": 13, "message": "broken"}') == 1
    assert capsys.readouterr().err == (
        "error: none of 4 calls was answered OK (rpc error: code = Internal desc = broken)\n"
    )


def test_calls_of_which_some_failed_do_not(
    load_server: LoadServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert echoes(load_server, "-n4", "-Ojson", '-d[{"code": 13}, {}]') == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--call=test.load.EchoService/Ecko"], "Ecko"),
        (["--call=test.load.Nothing/Echo"], "test.load.Nothing"),
        (["-d{"], "data"),
        (['-d{"texd": ""}'], "texd"),
        (["-m{"], "metadata"),
        (["--slo=p99<fast"], "p99<fast"),
        (["--baseline=there"], "there"),
        (["--cpus=two"], "--cpus: 'two' is no whole number"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_and_nothing_is_written(
    load_server: LoadServer,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    (folder / "there").write_text("of yesterday")
    call = [] if arguments[0].startswith("--call") else ["--call=test.load.EchoService/Echo"]
    flags = ["--insecure", "-othere", "--hgrm=latencies", *call, *arguments]
    assert main([*flags, load_server.target]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert said in told.err
    assert names(folder) == {"there"}
    assert (folder / "there").read_text() == "of yesterday"


def test_a_target_that_is_not_there_is_told_in_a_line(
    folder: Path, start_load_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_load_server()
    server.stop()
    flags = ["--insecure", "-oreport", "--connect-timeout=1s", "--call=test.load.EchoService/Echo"]
    assert main([*flags, server.target]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n"), names(folder)) == ("", 1, set())
    assert server.target in told.err


def test_empty_standard_input_is_told_in_a_line(
    load_server: LoadServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Standard(b"\n"))
    assert echoes(load_server, "-d@") == 2
    assert capsys.readouterr().err == (
        "error: --data @: standard input is empty (pipe the data into it, or give a file)\n"
    )
