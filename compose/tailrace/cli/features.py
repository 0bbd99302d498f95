"""`tailrace features`: one module per command; each adds its own by `register(app)`."""

from __future__ import annotations

import typer

from tailrace.cli import feature_history, feature_load, feature_reset, feature_views

app = typer.Typer(
    help="Load feature views, and list them.", no_args_is_help=True, add_completion=False
)
for _module in (feature_load, feature_history, feature_reset, feature_views):
    _module.register(app)
