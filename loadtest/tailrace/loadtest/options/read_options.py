"""From a command line to what a load test is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tailrace.loadtest.options.checks import check_options
from tailrace.loadtest.options.command_line import CommandLine
from tailrace.loadtest.options.config_file import config_values, read_config
from tailrace.loadtest.options.flags import DATA_FIELDS, METADATA_FIELDS
from tailrace.loadtest.options.load_options import LoadOptions


def read_options(line: CommandLine) -> LoadOptions:
    """Returns the options of a command line and of the configuration file that it names.

    Flags come before the file. Data that a flag names takes the place of all of the file's.

    Raises:
        LoadError: they are not what a run can be tried with.
    """
    values = {} if line.config is None else read_config(line.config)
    for fields in (DATA_FIELDS, METADATA_FIELDS):
        if any(line.values.get(field) for field in fields):
            values = {name: value for name, value in values.items() if name not in fields}
    return _options(values | line.values)


def options_from(keys: Mapping[str, Any], where: str) -> LoadOptions:
    """Returns the options that a configuration's keys make.

    Args:
        keys: by ghz's names.
        where: what it comes from, for errors.

    Raises:
        LoadError: they are not what a run can be tried with.
    """
    return _options(config_values(keys, where))


def _options(values: Mapping[str, Any]) -> LoadOptions:
    # An empty path, or an empty size, is none; no connection and no process is one, as in ghz.
    given = {name: value for name, value in values.items() if value is not None}
    for name in ("connections", "cpus"):
        given[name] = given.get(name) or 1
    if given.get("max_duration"):
        # As in ghz: `total` counts, and the longer name comes first.
        given["duration"] = 0.0
    for name in ("host", "call"):
        given[name] = given.get(name, "").strip()
    options = LoadOptions(**given)
    check_options(options)
    return options
