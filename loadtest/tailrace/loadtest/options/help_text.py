"""What `tailrace load --help` says."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tailrace.loadtest.options.flags import GROUPS, Flag

USAGE = """\
usage: tailrace load [FLAGS] HOST:PORT
       tailrace load plan --help
       tailrace load scenario --help"""

_ABOUT = """\
Calls a gRPC method at a rate, or with a number of callers, and tells how long answers took.
Flags and configuration files are ghz's; docs/load-testing.md says what is different."""

_EXAMPLE = """\
For example, a mesh of `tailrace up examples/flights`, for ten seconds at 500 calls a second:
  tailrace load --insecure --async --rps 500 --duration 10s --slo 'p99<20ms' \\
    --call tailrace.v1.PredictionService/Predict --data-file request.json 127.0.0.1:50050"""

_EXIT = """\
Exit status: 0 good; 1 an objective or the baseline was missed, or no call was answered; 2 the
flags, the target or the data are wrong, or a file cannot be written; 3 a process that made load was
lost, and the report is of a part of it; 130 interrupted."""

_COLUMN = 34
_WIDTH = 100


def help_text() -> str:
    """Returns the whole help, 100 columns wide, without a newline at its end."""
    general = [
        *_entry("-h, --help", "show this"),
        *_entry("-v, --version", "show the version"),
        *_entry("    --config=FILE", "JSON or TOML file with flags' names as keys; flags win"),
    ]
    parts = [USAGE, _ABOUT, _EXAMPLE, "\n".join(["General:", *general])]
    for title, flags in GROUPS.items():
        lines = [line for flag in flags for line in _entry(_names(flag), flag.help)]
        parts.append("\n".join([f"{title}:", *lines]))
    return "\n\n".join([*parts, _EXIT])


def _names(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    value = f"={flag.kind.placeholder}" if flag.kind.placeholder else ""
    # The only one that is on.
    name = "no-hops" if flag.name == "hops" else flag.name
    return f"{short}--{name}{value}"


def _entry(names: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(text, _WIDTH - _COLUMN)
    first = f"  {names}"
    if len(first) > _COLUMN - 2:
        yield first
        first = ""
    yield f"{first:<{_COLUMN}}{lines[0]}"
    for line in lines[1:]:
        yield " " * _COLUMN + line
