"""`tailrace slo`: makes rules of objectives, and reports how they are kept."""

from __future__ import annotations

import typer

from tailrace.cli.slo.render_command import render
from tailrace.cli.slo.report_command import report

app = typer.Typer(
    help="Make Prometheus rules of pipelines' objectives, and report how they are kept.",
    no_args_is_help=True,
    add_completion=False,
)
app.command()(render)
app.command()(report)
