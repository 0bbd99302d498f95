"""`tailrace slo report`: how objectives are kept, as a Prometheus server has it."""

from __future__ import annotations

import enum
import json
import re
import time
from typing import Annotated

import typer

from tailrace.cli.slo.burn import Window
from tailrace.cli.slo.kept import Kept, Source, read_kept
from tailrace.cli.slo.objective import Objective
from tailrace.cli.slo.prometheus_api import PrometheusApi
from tailrace.cli.slo.rendering import SloFailed, read_objectives
from tailrace.cli.slo.trouble import PipelinesPath, pipelines_path, trouble_told

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BROKEN = 1
_MOST_COLUMNS = 1000


class Layout(enum.StrEnum):
    """How it is printed."""

    TABLE = "table"
    JSON = "json"


def report(
    prometheus: Annotated[
        str, typer.Option(help="Address of the server, such as http://127.0.0.1:9090.")
    ],
    pipeline: Annotated[
        str | None, typer.Option(help="Report on this one only; on all by default.")
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(help="Such as 1h or 7d, until now; by default, each objective's own."),
    ] = None,
    layout: Annotated[Layout, typer.Option("--format", help="How to print it.")] = Layout.TABLE,
    source: Annotated[
        Source,
        typer.Option(
            help="Read what the rendered rules record, or the processes' own metrics; by default "
            "the former where it goes back as far."
        ),
    ] = Source.AUTO,
    pipelines: PipelinesPath = None,
) -> None:
    """Print how each objective was kept, and what is left of its error budget.

    The exit status is 1 if an objective is broken, and 2 if nothing is known: the server does not
    answer, has no data of a pipeline, or a pipeline file is broken.
    """
    with trouble_told():
        span = None if window is None else _window(window)
        objectives = _chosen(read_objectives(pipelines_path(pipelines)), pipeline)
        api, now = PrometheusApi(prometheus), time.time()
        kept = [
            read_kept(api, each, span or _window(f"{each.window_days}d"), source, now)
            for each in objectives
        ]
        if all(each.events is None for each in kept):
            raise SloFailed(_nothing_of(kept, api.url))
        _print(kept, layout)
        if any(each.broken for each in kept):
            raise typer.Exit(_BROKEN)
        if any(_unknown(of_pipeline) for of_pipeline in _by_pipeline(kept)):
            raise SloFailed(_nothing_of(kept, api.url))


def _by_pipeline(kept: list[Kept]) -> list[list[Kept]]:
    names = dict.fromkeys(each.objective.pipeline for each in kept)
    return [[each for each in kept if each.objective.pipeline == name] for name in names]


def _unknown(kept: list[Kept]) -> bool:
    return all(each.events is None for each in kept)


def _nothing_of(kept: list[Kept], url: str) -> str:
    names = [each[0].objective.pipeline for each in _by_pipeline(kept) if _unknown(each)]
    windows = dict.fromkeys(each.window.text for each in kept if each.objective.pipeline in names)
    return f"{url} has no data of {', '.join(names)} over {', '.join(windows)}"


def _print(kept: list[Kept], layout: Layout) -> None:
    from rich.console import Console

    from tailrace.cli.slo.report_table import notes, report_document, report_table

    if layout is Layout.JSON:
        print(json.dumps(report_document(kept), indent=2, ensure_ascii=False))
        return
    console, table = Console(highlight=False), report_table(kept)
    # Figures that are cut off say nothing: a line may be longer than a terminal, or a pipe's 80.
    wide = console.options.update(width=_MOST_COLUMNS)
    console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)
    for line in notes(kept):
        console.print(f"[dim]{line}[/]", soft_wrap=True)


def _chosen(by_pipeline: dict[str, list[Objective]], pipeline: str | None) -> list[Objective]:
    if pipeline is None:
        return [each for of_pipeline in by_pipeline.values() for each in of_pipeline]
    if pipeline not in by_pipeline:
        known = ", ".join(by_pipeline)
        raise SloFailed(f"no pipeline {pipeline!r} has objectives; those that have: {known}")
    return by_pipeline[pipeline]


def _window(text: str) -> Window:
    found = re.fullmatch(r"([1-9]\d{0,5})([smhdw])", text)
    if not found:
        raise SloFailed(f"--window {text!r} is no length of time, such as 30m, 6h or 30d")
    return Window(text, int(found[1]) * _UNITS_S[found[2]])
