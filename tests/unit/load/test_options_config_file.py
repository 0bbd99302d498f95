from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.config_file import read_config
from tailrace.loadtest.options.load_options import DurationStop, Format, Schedule

# Of all shapes that ghz's keys have, in each form of file.
AS_JSON = """
{
    "proto": "greeter.proto", "import-paths": ["protos", "more"], "call": "a.B.C", "host": "h:1",
    "total": 500, "concurrency": 10, "RPS": 20, "skipTLS": true, "skipFirst": 5, "insecure": true,
    "max-duration": "7s", "keepalive": 0, "timeout": "250ms", "duration-stop": "Wait",
    "load-schedule": "step", "load-step": -5, "format": "pretty",
    "max-recv-message-size": "1024mb", "lb-strategy": "round_robin",
    "data": {"name": "Bob {{.TimestampUnix}}", "sizes": [1, 2.5, null]},
    "metadata": {"rn": "{{.RequestNumber}}"}, "tags": {"env": "ci"},
    "reflect-metadata": {"token": "t"}, "cpus": 2
}
"""
AS_TOML = """
proto = "greeter.proto"
import-paths = ["protos", "more"]
call = "a.B.C"
host = "h:1"
total = 500
concurrency = 10
RPS = 20
skipTLS = true
skipFirst = 5
insecure = true
"max-duration" = "7s"
keepalive = 0
timeout = "250ms"
duration-stop = "Wait"
load-schedule = "step"
load-step = -5
format = "pretty"
max-recv-message-size = "1024mb"
lb-strategy = "round_robin"
cpus = 2

[data]
name = "Bob {{.TimestampUnix}}"
sizes = [1, 2.5]

[metadata]
rn = "{{.RequestNumber}}"
[tags]
env = "ci"
[reflect-metadata]
token = "t"
"""
AS_YAML = """
proto: greeter.proto
import-paths:
- protos
- more
call: a.B.C
host: h:1
total: 500
concurrency: 10
rps: 20
skipTLS: true
skipFirst: 5
insecure: true
max-duration: 7s
keepalive: 0
timeout: 250ms
duration-stop: Wait
load-schedule: step
load-step: -5
format: pretty
max-recv-message-size: "1024mb"
lb-strategy: round_robin
cpus: 2
data: {name: "Bob {{.TimestampUnix}}", sizes: [1, 2.5]}
metadata:
  rn: "{{.RequestNumber}}"
tags: {env: ci}
reflect-metadata: {token: t}
"""
# What files do not say; without a file, it is 0 and 1.
DEFAULTS: dict[str, Any] = {"concurrency_start": 1, "concurrency_step": 0}
READ: dict[str, Any] = DEFAULTS | {
    "proto": Path("greeter.proto"),
    "import_paths": (Path("protos"), Path("more")),
    "call": "a.B.C",
    "host": "h:1",
    "total": 500,
    "concurrency": 10,
    "rps": 20.0,
    "skip_tls": True,
    "skip_first": 5,
    "insecure": True,
    "max_duration": 7.0,
    "keepalive": 0.0,
    "timeout": 0.25,
    "duration_stop": DurationStop.WAIT,
    "load_schedule": Schedule.STEP,
    "load_step": -5.0,
    "format": Format.PRETTY,
    "max_recv_message_size": 1_024_000_000,
    "lb_strategy": "round_robin",
    "cpus": 2,
    "metadata": '{"rn": "{{.RequestNumber}}"}',
    "tags": {"env": "ci"},
    "reflect_metadata": '{"token": "t"}',
}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def said(path: Path) -> str:
    with pytest.raises(LoadError) as caught:
        read_config(path)
    return str(caught.value).replace(str(path), path.name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", AS_JSON),
        ("a.toml", AS_TOML),
        ("a.yaml", AS_YAML),
        ("a.yml", AS_YAML),
        ("a.conf", AS_JSON),
        ("a", AS_TOML),
    ],
)
def test_all_shapes_of_keys_are_read(tmp_path: Path, name: str, text: str) -> None:
    values = read_config(written(tmp_path, name, text))
    data = json.loads(values.pop("data"))
    assert data["name"] == "Bob {{.TimestampUnix}}"
    assert data["sizes"][:2] == [1, 2.5]
    assert values == READ


def test_a_streams_messages_are_an_array_of_tables(tmp_path: Path) -> None:
    path = written(tmp_path, "a.toml", '[[data]]\nname = "1"\n[[data]]\nname = "2"\n')
    assert json.loads(read_config(path)["data"]) == [{"name": "1"}, {"name": "2"}]


def test_what_is_empty_is_not_there(tmp_path: Path) -> None:
    empty: dict[str, object] = {
        "format": "", "cacert": "", "data": None, "tags": {}, "lb-strategy": "",
        "max-send-message-size": "", "concurrency-schedule": "", "import-paths": [],
    }  # fmt: skip
    path = written(tmp_path, "a.json", json.dumps(empty))
    assert read_config(path) == DEFAULTS


def test_zero_is_zero(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", '{"total": 0, "timeout": "0s", "connect-timeout": 0}')
    assert read_config(path) == DEFAULTS | {"total": 0, "timeout": 0.0, "connect_timeout": 0.0}


def test_our_own_flags_are_keys(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "a.toml",
        'slo = ["p99<20ms", "errors<1%"]\nhops = false\nbaseline-tolerance = 0.1\nseed = 0\n',
    )
    assert read_config(path) == DEFAULTS | {
        "slo": ("p99<20ms", "errors<1%"),
        "hops": False,
        "baseline_tolerance": 0.1,
        "seed": 0,
    }
    assert read_config(written(tmp_path, "b.toml", 'slo = "p99<20ms"'))["slo"] == ("p99<20ms",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"totl": 5}', "a.json: there is no key 'totl' (did you mean 'total'?)"),
        ("a.json", '{"n": 5}', "a.json: there is no key 'n' (did you mean 'total'?)"),
        ("a.toml", "dial-timeout = '1s'", "a.toml: there is no key 'dial-timeout' (did you mean "
         "'connect-timeout'?)"),
        ("a.toml", "zzzz = 1", "a.toml: there is no key 'zzzz' (keys are the names of flags)"),
        ("a.json", '{"rps": 1, "RPS": 2}', "a.json: 'rps' is there twice (once as 'RPS')"),
        ("a.json", '{"rps": 1, "rps": 2}', "a.json: 'rps' is there twice (one of the two is too "
         "many)"),
        ("a.json", '{"total": "5"}', 'a.json: total: "5" is no whole number (it takes a whole '
         "number, 0 or more)"),
        ("a.json", '{"total": -5}', "a.json: total: -5 is not 0 or more (it takes a whole number, "
         "0 or more)"),
        ("a.json", '{"total": true}', "a.json: total: true is no whole number (it takes a whole "
         "number, 0 or more)"),
        ("a.json", '{"timeout": 20}', "a.json: timeout: '20' is no length of time (it takes "
         "numbers with units, such as 10s, 1m30s, 250ms, 1.5h; or 0)"),
        ("a.toml", "metadata.x = 5", "a.toml: metadata: 'x' is 5, which is no text (it takes an "
         "object of texts, or an array of them)"),
        ("a.toml", "insecure = 1", "a.toml: insecure: 1 is neither true nor false (it takes true "
         "or false)"),
        ("a.toml", "data.at = 2020-01-01", "a.toml: data: Object of type date is not JSON "
         "serializable (it takes an object, or an array of them)"),
        ("a.json", "[]", "a.json holds no object (its keys are the names of flags)"),
        ("a.json", "{", "a.json is no JSON: Expecting property name enclosed in double quotes: "
         "line 1 column 2 (char 1) (--config names a JSON or TOML file)"),
        ("a.json", '{"a":' * 100_000, "a.json is nested too deeply (--config names a JSON or TOML "
         "file)"),
        ("a.toml", "total", "a.toml is no TOML: Expected '=' after a key in a key/value pair "
         "(at end of document) (--config names a JSON or TOML file)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_a_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    assert said(written(tmp_path, name, text)) == message


def test_a_file_that_is_not_yaml_is_told_in_a_line(tmp_path: Path) -> None:
    message = said(written(tmp_path, "a.yaml", "total: [1"))
    assert message.startswith("a.yaml is no YAML: ")
    assert "\n" not in message


def test_a_missing_file_is_told_with_its_name(tmp_path: Path) -> None:
    assert said(tmp_path / "a.toml") == (
        "configuration file a.toml: No such file or directory (--config names a JSON or TOML file)"
    )
