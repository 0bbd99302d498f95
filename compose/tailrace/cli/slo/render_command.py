"""`tailrace slo render`: objectives as rules, specs and a dashboard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tailrace.cli.slo.alerts import Links
from tailrace.cli.slo.rendering import Format, SloFailed, read_objectives, render_one
from tailrace.cli.slo.rendering import render as render_files
from tailrace.cli.slo.trouble import PipelinesPath, pipelines_path, trouble_told
from tailrace.cli.slo.written import differences, leftovers, write_files

_LINKS = Links()


def render(
    pipelines: PipelinesPath = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; without one, the text is printed."),
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="For whom; `all` makes a folder for each in --out."),
    ] = Format.PROMETHEUS,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit status 1 if a file in --out differs."),
    ] = False,
    grafana_url: Annotated[
        str, typer.Option(help="What alerts' links to the dashboard begin with.")
    ] = _LINKS.grafana,
    runbook_url: Annotated[
        str, typer.Option(help="Page that alerts name for what to do.")
    ] = _LINKS.runbook,
) -> None:
    """Make recording rules and burn-rate alerts of objectives, a Sloth spec, or a dashboard.

    The same pipeline files give the same text each time. The exit status is 2 if a pipeline file
    is broken or none has objectives; nothing is written then.
    """
    with trouble_told():
        if out is None and (check or form is Format.ALL):
            raise SloFailed(f"{'--check' if check else '--format all'} needs --out, a folder")
        path = pipelines_path(pipelines)
        found = read_objectives(path)
        links = Links(grafana=grafana_url, runbook=runbook_url)
        if out is None:
            print(render_one(found, form, links), end="")
            return
        files = render_files(found, form, links)
        # A single pipeline file says nothing of the others.
        left = leftovers(out, files) if path.is_dir() else []
        for each in left:
            print(f"{each}: no pipeline of {path} has it", file=sys.stderr)
        if check:
            differing = differences(out, files)
            for line in differing:
                print(line, file=sys.stderr)
            raise typer.Exit(1 if differing or left else 0)
        write_files(out, files)
        for each in files:
            print(out / each)
