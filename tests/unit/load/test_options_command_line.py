from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.command_line import read_command_line
from tailrace.loadtest.options.flags import all_flags
from tailrace.loadtest.options.load_options import DurationStop, Format, LoadOptions, Schedule

# What `ghz --help` of 0.121 lists, but for config, help and version.
GHZ_FLAGS = """
    proto protoset call import-paths cacert cert key cname skipTLS insecure authority async rps
    load-schedule load-start load-step load-end load-step-duration load-max-duration concurrency
    concurrency-schedule concurrency-start concurrency-end concurrency-step
    concurrency-step-duration concurrency-max-duration total timeout duration max-duration
    duration-stop data data-file binary binary-file metadata metadata-file stream-interval
    stream-call-duration stream-call-count stream-dynamic-messages reflect-metadata output format
    skipFirst count-errors connections connect-timeout keepalive name tags cpus debug
    enable-compression lb-strategy max-recv-message-size max-send-message-size
    disable-template-functions disable-template-data
""".split()
GHZ_SHORT = {
    "i": "import-paths",
    "r": "rps",
    "c": "concurrency",
    "n": "total",
    "t": "timeout",
    "z": "duration",
    "x": "max-duration",
    "d": "data",
    "D": "data-file",
    "b": "binary",
    "B": "binary-file",
    "m": "metadata",
    "M": "metadata-file",
    "o": "output",
    "O": "format",
    "e": "enable-compression",
}
OUR_FLAGS = {"slo", "baseline", "baseline-tolerance", "hgrm", "hops", "max-in-flight", "seed"} | {
    "progress"
}


def values(*arguments: str) -> dict[str, Any]:
    return read_command_line(arguments).values


def test_all_flags_of_ghz_are_there_and_no_others_but_ours() -> None:
    assert {flag.name for flag in all_flags()} == set(GHZ_FLAGS) | OUR_FLAGS
    assert {flag.short: flag.name for flag in all_flags() if flag.short} == GHZ_SHORT


def test_each_flag_sets_a_field_of_its_own() -> None:
    fields = [flag.field for flag in all_flags()]
    assert len(set(fields)) == len(fields)
    assert set(fields) < set(LoadOptions.__dataclass_fields__)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--concurrency", "7"],
        ["--concurrency=7"],
        ["-c", "7"],
        ["-c7"],
        ["-c=7"],
        ["-bc7"],
        ["-ec", "7"],
        ["-c", "7", "--", "h:1"],
    ],
)
def test_values_may_be_apart_or_attached(arguments: list[str]) -> None:
    assert values(*arguments)["concurrency"] == 7


def test_every_kind_of_value_is_understood() -> None:
    assert values(
        "-r0.5",
        "-z1m",
        "-i",
        "a,b",
        "-Oinflux-summary",
        "--load-schedule=LINE",
        "--load-step",
        "-5",
        "--duration-stop",
        "wait",
        "--tags",
        '{"a": "b"}',
        "--max-recv-message-size=4MiB",
        "--skipFirst=3",
        "--skipTLS",
        "--slo",
        "p99<1s",
        "--slo=rps>3",
        "--baseline-tolerance=7%",
        "-d@",
        "--seed=-1",
        "h:1",
        "--lb-strategy=round_robin",
        "--async",
    ) == {  # fmt: skip
        "rps": 0.5,
        "duration": 60.0,
        "import_paths": (Path("a"), Path("b")),
        "format": Format.INFLUX_SUMMARY,
        "load_schedule": Schedule.LINE,
        "load_step": -5.0,
        "duration_stop": DurationStop.WAIT,
        "tags": {"a": "b"},
        "max_recv_message_size": 4 << 20,
        "skip_first": 3,
        "skip_tls": True,
        "slo": ("p99<1s", "rps>3"),
        "baseline_tolerance": 0.07,
        "data": "@",
        "seed": -1,
        "host": "h:1",
        "lb_strategy": "round_robin",
        "async_": True,
    }


@pytest.mark.parametrize(
    ("argument", "there"),
    [("--insecure", True), ("--no-insecure", False), ("--insecure=false", False)],
)
def test_switches_are_on_or_off(argument: str, there: bool) -> None:
    assert values(argument) == {"insecure": there}


def test_a_lone_at_sign_is_a_value() -> None:
    assert values("-d", "@") == {"data": "@"}


def test_arguments_come_out_of_files(tmp_path: Path) -> None:
    file = tmp_path / "arguments"
    file.write_text("# of the nightly run\n--insecure\n\n-c\n5\nh:1\n")
    assert values("-n1", f"@{file}", "-t1s") == {
        "insecure": True,
        "concurrency": 5,
        "host": "h:1",
        "timeout": 1.0,
        "total": 1,
    }


def test_a_flags_value_comes_out_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text('{"a": 1}\n--insecure\n')
    assert values("-d", f"@{file}") == {"data": '{"a": 1}', "insecure": True}


def test_config_help_and_version_are_no_options() -> None:
    line = read_command_line(["--config", "a.toml", "-h", "-v"])
    assert (line.config, line.wants_help, line.wants_version) == (Path("a.toml"), True, True)
    assert line.values == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--insecur"], "there is no flag --insecur (did you mean --insecure?)"),
        (["--no-insecur"], "there is no flag --no-insecur (did you mean --no-insecure?)"),
        (["--qps", "5"], "there is no flag --qps (did you mean --rps?)"),
        (["--skip-first=5"], "there is no flag --skip-first (did you mean --skipFirst?)"),
        (["--no-total"], "there is no flag --no-total (did you mean --total?)"),
        (["--zzzz"], "there is no flag --zzzz (--help lists all flags)"),
        (["-insecure"], "there is no flag -insecure (did you mean --insecure?)"),
        (["-data={}"], "there is no flag -data (did you mean --data?)"),
        (["-y"], "there is no flag -y (--help lists all flags)"),
        (["--total"], "--total needs a value (write one that begins with - as --total=…)"),
        (["-n", "--insecure"], "-n needs a value (write one that begins with - as -n=…)"),
        (["-n", "many"], "-n: 'many' is no whole number (it takes a whole number, 0 or more)"),
        (["-n-5"], "-n: -5 is not 0 or more (it takes a whole number, 0 or more)"),
        (["--rps=-1"], "--rps: '-1' is no rate (it takes a number, 0 or more)"),
        (
            ["-z", "10"],
            "-z: '10' is no length of time (it takes numbers with units, such as 10s, 1m30s, "
            "250ms, 1.5h; or 0)",
        ),
        (
            ["-z=-1s"],
            "-z: -1 is not 0 or more (it takes numbers with units, such as 10s, 1m30s, "
            "250ms, 1.5h; or 0)",
        ),
        (
            ["-Oxml"],
            "-O: 'xml' is not known (it takes summary, csv, json, pretty, html, prometheus, "
            "influx-summary or influx-details)",
        ),
        (
            ["--tags", '{"a": 1}'],
            "--tags: 'a' is 1, which is no text (it takes a JSON object of texts, such as "
            '{"name": "value"})',
        ),
        (["-c1", "-c2"], "-c is there twice (--concurrency has one value)"),
        (["a:1", "b:2"], "there are two hosts: a:1 and b:2 (values of flags that have spaces need "
         "quotes)"),
        (["--insecure=perhaps"], "--insecure: 'perhaps' is neither true nor false (it takes true "
         "or false)"),
        (["@nowhere"], "@nowhere: No such file or directory (@FILE stands for the lines of a file; "
         "write --flag=@… for a value that begins with @)"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_told_in_a_line(arguments: list[str], said: str) -> None:
    with pytest.raises(LoadError) as caught:
        read_command_line(arguments)
    assert str(caught.value) == said
