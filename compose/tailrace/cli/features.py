"""`tailrace features`: one module per command; each adds its own by `register(app)`."""

from __future__ import annotations

import typer

from tailrace.cli import (
    feature_history,
    feature_load,
    feature_reset,
    features_get,
    features_list,
    features_search,
    features_show,
    features_stats,
)

app = typer.Typer(
    help="Find feature views, look into them, and load them.",
    no_args_is_help=True,
    add_completion=False,
)
for _module in (
    features_list,
    features_search,
    features_show,
    features_stats,
    features_get,
    feature_load,
    feature_history,
    feature_reset,
):
    _module.register(app)
