"""The command line of `tailrace load scenario`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.file_checks import check_writable
from tailrace.loadtest.options.written_file import written_file
from tailrace.loadtest.scenario.scenario_file import Scenario, read_scenario
from tailrace.runtime.pipeline.base import Misfit
from tailrace.runtime.pipeline.duration import parse_duration
from tailrace.runtime.pipeline.problem import nearest

# Of a checkout, then of an installed package.
_FOLDERS = (
    Path(__file__).parents[3] / "scenarios",
    Path(__file__).parents[1] / "scenarios",
)
_USAGE = "tailrace load scenario NAME|FILE [--target HOST:PORT] [--json FILE] [--html FOLDER]"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as the load tool does."""

    def error(self, message: str) -> NoReturn:
        """Raises LoadError."""
        raise LoadError(message, f"usage: {self.usage}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What was asked for.

    Attributes:
        name: of the scenario, or its file's.
        scenario: what it says, with the flags put in.
        target: `HOST:PORT` of a gateway that runs; empty for a mesh of its own.
        events_target: `HOST:PORT` of its event service; empty if it is not known.
        pipelines: folder of its pipelines; None if that is not known.
        json_file: where the outcome is written for programs.
        html_folder: where each load's page is written.
    """

    name: str
    scenario: Scenario
    target: str
    events_target: str
    pipelines: Path | None
    json_file: Path | None
    html_folder: Path | None


def scenario_files() -> dict[str, Path]:
    """Returns the scenarios that come with Tailrace, by name."""
    for folder in _FOLDERS:
        files = {file.stem: file for file in sorted(folder.glob("*.toml"))}
        if files:
            return files
    return {}


def parse_arguments(argv: Sequence[str]) -> Arguments | None:
    """Returns what was asked for; None where it was only to be told what there is.

    Raises:
        LoadError: a flag, or the scenario, is not one.
    """
    given = _parser().parse_args(argv)
    if given.list:
        with written_file(None) as out:
            for name, file in scenario_files().items():
                out.write(f"{name:16} {read_scenario(file).description}\n")
        return None
    if not given.scenario:
        raise LoadError("no scenario is named", f"there are {', '.join(scenario_files())}")
    file = _find(given.scenario)
    scenario = _with_flags(read_scenario(file), given)
    if given.target and scenario.events:
        raise LoadError(
            f"{file}: events happen to a mesh that the scenario starts, not to {given.target}",
            "leave --target out",
        )
    if given.events_target and not given.target:
        raise LoadError("--events-target is named, and no gateway", "--target HOST:PORT")
    if given.json is not None:
        check_writable("--json", given.json)
    if given.html is not None and not given.html.is_dir():
        check_writable("--html", given.html)
        if given.html.exists():
            raise LoadError(f"--html: {given.html} is a file", "it takes a folder")
    return Arguments(
        name=file.stem,
        scenario=scenario,
        target=given.target,
        events_target=given.events_target,
        pipelines=given.pipelines,
        json_file=given.json,
        html_folder=given.html,
    )


def parse_length(text: str) -> timedelta:
    """Returns a length of time such as `20ms`. Raises ArgumentTypeError."""
    try:
        return parse_duration(text)
    except Misfit as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def number_between(least: float, most: float) -> Callable[[str], float]:
    """Returns what reads a number of a range, both ends included.

    It raises ArgumentTypeError for what is none.
    """

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is no number from {least:g} to {most:,.12g}")
        return value

    return read


def _parser() -> Parser:
    parser = Parser(prog="tailrace load scenario", usage=_USAGE, add_help=True)
    add, factor = parser.add_argument, number_between(0.001, 10_000)
    add("scenario", nargs="?", default="", help="name of a scenario that comes along, or a file")
    add("--list", action="store_true", help="tell which scenarios come along")
    add("--target", default="", help="gateway of a mesh that runs; without, one is started")
    add("--events-target", default="", help="event service of that mesh")
    add("--pipelines", type=Path, help="folder with its pipelines, for their slo")
    add("--example", type=Path, help="example that rows come from, and that a mesh serves")
    add("--seconds-scale", type=factor, default=1.0, help="multiplies all times of the scenario")
    add("--minutes", type=factor, help="length of the loads, in minutes")
    add("--p99", type=parse_length, help="of a search: latency that 99 %% have to keep")
    add("--json", type=Path, metavar="FILE", help="write the outcome for programs")
    add("--html", type=Path, metavar="FOLDER", help="write a page for each load")
    return parser


def _find(name: str) -> Path:
    known = scenario_files()
    if name in known:
        return known[name]
    file = Path(name)
    if file.is_file():
        return file
    if file.suffix or "/" in name:
        raise LoadError(f"there is no file {name}", "--list names the scenarios that come with it")
    hint = nearest(name, known)
    raise LoadError(
        f"there is no scenario {name!r}",
        f"did you mean {hint!r}?" if hint else f"there are {', '.join(known)}; or name a file",
    )


def _with_flags(scenario: Scenario, given: argparse.Namespace) -> Scenario:
    scenario = scenario.scaled(given.seconds_scale)
    if given.minutes:
        if scenario.search is not None:
            raise LoadError("--minutes is for loads of one length", "a search has steps")
        scenario = scenario.lasting(timedelta(minutes=given.minutes))
    if given.example is not None:
        mesh = scenario.mesh.model_copy(update={"example": given.example})
        scenario = scenario.model_copy(update={"mesh": mesh})
    if given.p99 is not None:
        if scenario.search is None:
            raise LoadError("--p99 is for scenarios that search a rate", "such as ramp")
        search = scenario.search.model_copy(update={"p99": given.p99})
        scenario = scenario.model_copy(update={"search": search})
    return scenario
