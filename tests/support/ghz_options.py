"""Compares what ghz and `tailrace load` make of the same flags and files: `make interop-ghz`.

ghz repeats its options in its JSON report; what it refuses, it ends on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.command_line import read_command_line
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.options.read_options import read_options
from tailrace.loadtest.report.options_echo import options_echo
from tests.support.load_messages import ECHO_PROTO
from tests.support.load_servers import LoadServer

_RUN_S = 30.0
# What ghz 0.121 now and then ends with where callers come in steps: a race of its own.
_RACE = "panic: send on closed channel"
_TRIES = 5
# Of all runs that have one.
_MAX_DURATION_NS = 500_000_000
_TARGET = ("--insecure", "--proto", "echo.proto", "--call", "test.load.EchoService.Echo")
_CALL = (
    'proto = "echo.proto"\ncall = "test.load.EchoService/Echo"\nhost = "TARGET"\ninsecure = true\n'
)
_FILES = {
    "few.toml": _CALL + "total = 3\nconcurrency = 1\n",
    "all.toml": _CALL
    + "total = 6\nconcurrency = 2\nconnections = 2\nRPS = 300\nasync = true\nskipFirst = 1\n"
    'count-errors = true\ntimeout = "1m30s"\nconnect-timeout = "1500ms"\nkeepalive = "1.5h"\n'
    'name = "a run"\nduration-stop = "WAIT"\nload-schedule = "LINE"\nload-start = 100\n'
    'load-step = 50\nload-end = 200\nload-max-duration = "3s"\ncpus = 1\n'
    'concurrency-schedule = "step"\nconcurrency-start = 1\nconcurrency-step = 1\n'
    'concurrency-end = 2\nconcurrency-step-duration = "10ms"\nconcurrency-max-duration = "1s"\n'
    'max-recv-message-size = "4mib"\nenable-compression = true\nauthority = "other"\n'
    'import-paths = ["."]\n[data]\ntext = "{{.RequestNumber}}"\n[metadata]\nkey = "value"\n'
    '[tags]\nenv = "test"\n',
    "zeros.toml": _CALL
    + 'total = 2\nconnections = 0\ntimeout = "0s"\nkeepalive = 0\nduration-stop = ""\n'
    'load-schedule = ""\nrps = 0\ncpus = 0\nconcurrency-start = 0\n',
    "stream.json": json.dumps(
        {
            "proto": "echo.proto",
            "call": "test.load.EchoService/Chat",
            "host": "TARGET",
            "insecure": True,
            "total": 2,
            "concurrency": 1,
            "stream-interval": "1ms",
            "data": [{"text": "1"}, {"text": "2"}],
        }
    ),
    "both.json": json.dumps(
        {
            "proto": "echo.proto",
            "call": "test.load.EchoService/Echo",
            "host": "TARGET",
            "INSECURE": True,
            "total": 2,
            "concurrency": 1,
            "duration": "10m",
            "max-duration": "500ms",
        }
    ),
    "plain.yaml": "proto: echo.proto\ncall: test.load.EchoService/Echo\nhost: TARGET\n"
    "insecure: true\ntotal: 2\nconcurrency: 1\ndata:\n  text: a\ntimeout: 5s\n",
    "data.json": '[{"text": "a"}, {"text": "b"}]',
    "metadata.json": '{"key": "value"}',
    "more": "--total\n4\n# a comment\n-c2\n",
}
_TAKEN = (
    "-n 4 -c 2",
    "-n4 -c2 TARGET",
    "--total=4 --concurrency=2",
    "-n 4 -c 2 -r 50 -t 0 --no-async --load-schedule const",
    "-z 50ms -c 2 --duration-stop ignore",
    "-z 10m -x 500ms -n 4 -c 2",
    "-x 500ms -n 4 -c 2",
    "-n 4 -c 2 -D data.json -M metadata.json --skipFirst 2",
    "-n 4 -c 2 --connections 0 -i .",
    "@more",
    "-n 1 -c 1 -ed {}",
    "-n 4 -c 2 --load-schedule=step --load-start=50 --load-step=-10 --load-end=30 "
    "--load-step-duration=1s",
    "--config few.toml",
    "--config=all.toml",
    "--config zeros.toml",
    "--config stream.json",
    "--config both.json",
    "--config plain.yaml",
    "--config all.toml -n 5 --async --name other -m {} TARGET",
    "--config few.toml -n 5 -c 2 --no-async",
    "--config few.toml -D data.json",
)
_REFUSED = (
    "-n 4 -c 2 --nothing",
    "-n 4 -n 5",
    "-n many",
    "-n -4",
    "-z 10",
    "-c 2 --connections 3",
    "-n 4 -c 2 --skipFirst 5",
    "-n 4 -c 2 -O xml",
    "-n 4 -c 2 --load-schedule step --load-end 5",
    "-n 4 -c 2 --load-schedule steps",
    "-n 4 -c 2 --load-schedule line --load-step 5",
    "-n 4 -c 2 --concurrency-schedule step --concurrency-end 5",
    "-n 4 -c 2 --tags {a}",
    "-n 4 -c 2 --max-recv-message-size 4nb",
    "-n 4 -c 2 --cert data.json",
    "-n 4 -c 2 -D nowhere.json",
    "-n 4 -c 2 one:1 two:2",
    "--config nowhere.toml",
)


def main() -> int:
    """Returns 0 if both understand all the same, 1 if not; each difference is named."""
    ghz = _ghz()
    server = LoadServer()
    try:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            for source in ECHO_PROTO.parent.rglob("*.proto"):
                copy = Path(source.relative_to(ECHO_PROTO.parent))
                copy.parent.mkdir(exist_ok=True)
                copy.write_bytes(source.read_bytes())
            for name, text in _FILES.items():
                Path(name).write_text(text.replace("TARGET", server.target))
            found = [*_taken(ghz, server.target), *_refused(ghz, server.target)]
    finally:
        server.stop()
    for line in found:
        print(line, file=sys.stderr)
    count = len(_TAKEN) + len(_REFUSED)
    print(f"{count} command lines compared with ghz: {len(found) or 'no'} differences")
    return 1 if found else 0


def _taken(ghz: Path, target: str) -> Iterator[str]:
    for line in _TAKEN:
        arguments = _arguments(line, target)
        done = _run(ghz, arguments)
        if done.returncode or not done.stdout:
            yield f"{line}: ghz ended with {done.returncode}: {done.stderr.strip()}"
            continue
        try:
            ours = options_echo(read_options(read_command_line(arguments)))
        except LoadError as error:
            yield f"{line}: refused: {error}"
            continue
        theirs = json.loads(done.stdout)["options"]
        yield from (f"{line}: {each}" for each in _differences(theirs, ours, "--cpus" in line))


def _refused(ghz: Path, target: str) -> Iterator[str]:
    for line in _REFUSED:
        arguments = _arguments(line, target)
        if not _run(ghz, arguments).returncode:
            yield f"{line}: ghz takes it"
        try:
            taken: LoadOptions = read_options(read_command_line(arguments))
        except LoadError:
            continue
        yield f"{line}: taken, as {taken}"


def _arguments(line: str, target: str) -> list[str]:
    words = line.replace("TARGET", target).split()
    if not any(word.startswith("--config") for word in words):
        words = [*_TARGET, *words]
        if target not in words and "one:1" not in words:
            words.append(target)
    return words


def _run(ghz: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    form = [] if "xml" in arguments else ["-O", "json"]
    command = [str(ghz), *form, *arguments]
    for _ in range(_TRIES):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_S, check=False)
        if _RACE not in done.stderr:
            break
    return done


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any], cpus: bool) -> Iterator[str]:
    for key in sorted({*theirs, *ours}):
        # We have one process where ghz has all cores.
        if key == "CPUs" and not cpus:
            continue
        # With --max-duration, ghz 0.121 forgets --total, against its own documentation.
        if key in ("duration", "total") and theirs.get("duration") == _MAX_DURATION_NS:
            continue
        if theirs.get(key) != ours.get(key):
            yield f"{key} is {theirs.get(key)!r} for ghz, {ours.get(key)!r} for us"


def _ghz() -> Path:
    parser = argparse.ArgumentParser(prog="python -m tests.support.ghz_options")
    parser.add_argument("--ghz", type=Path, default=Path("ghz"), help="ghz 0.121")
    path: Path = parser.parse_args().ghz
    return path.resolve()


if __name__ == "__main__":
    sys.exit(main())
