"""The command `tailrace load`, also `python -m tailrace.loadtest`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.one_line import one_line
from tailrace.loadtest.options.command_line import read_command_line
from tailrace.loadtest.options.exit_status import INTERRUPTED, WRONG
from tailrace.loadtest.options.help_text import USAGE, help_text
from tailrace.loadtest.options.read_options import read_options
from tailrace.loadtest.options.standard_streams import complain, fill_standard_streams

# Commands of their own, each with a `main(argv) -> int`.
_COMMANDS = {
    "plan": "tailrace.loadtest.plan.command",
    "scenario": "tailrace.loadtest.scenario.command",
}
_REMEDY = 'the load tool needs an extra: pip install "tailrace[server,load]"'


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command, and returns its exit status.

    Args:
        argv: its arguments, without the command's name; those of the process if None.

    Returns:
        0 good; 1 an objective, the baseline or a scenario failed, or no call was answered OK; 2
        the flags, the target or the data are wrong, or a file cannot be written; 3 a process that
        made load was lost, and the report is of a part of it; 130 interrupted.
    """
    fill_standard_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] and arguments[0] in _COMMANDS:
            command: Callable[[Sequence[str]], int]
            command = importlib.import_module(_COMMANDS[arguments[0]]).main
            try:
                return command(arguments[1:])
            except SystemExit as end:
                # How argparse ends, after its help or its error.
                return end.code if isinstance(end.code, int) else WRONG
        return _load(arguments)
    except LoadError as error:
        complain(f"error: {one_line(str(error))}")
        return WRONG
    except ModuleNotFoundError as error:
        # A module of Tailrace's own that is missing is a defect, which no extra mends.
        if (error.name or "").partition(".")[0] == "tailrace":
            raise
        complain(f"error: {_REMEDY} (there is no module {error.name!r})")
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED


def _load(arguments: list[str]) -> int:
    if not arguments:
        complain(f"{USAGE}\n\n--help tells all flags.")
        return WRONG
    line = read_command_line(arguments)
    if line.wants_help:
        print(help_text())
        return 0
    if line.wants_version:
        print(version("tailrace"))
        return 0
    options = read_options(line)
    from tailrace.loadtest.options.told_run import tell_run

    return tell_run(options)
