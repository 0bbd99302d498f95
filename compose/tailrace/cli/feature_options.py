"""What all `tailrace features` commands share: their options, the view files and the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape

from tailrace.cli.local.errors import LaunchError
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.config import FeaturesSettings, load_settings
from tailrace.runtime.pipeline.directory import ViewFiles, features_directory, load_views
from tailrace.runtime.pipeline.problem import nearest

errors = Console(stderr=True)


class FeaturesFailed(LaunchError):
    """A command could not do what it was asked to."""


ViewsDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the view files; by default `features` beside TAILRACE_PIPELINES_DIR.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def features_settings(redis_url: str | None) -> FeaturesSettings:
    """Returns the settings, with the Redis of the command line if there is one."""
    overrides = {} if redis_url is None else {"feature_redis_url": redis_url}
    return load_settings(FeaturesSettings, **overrides)


def view_files(settings: FeaturesSettings, chosen: Path | None) -> ViewFiles:
    """Returns the views of the folder of the command line, or else of the settings.

    Raises:
        FeaturesFailed: there is no such folder.
    """
    folder = features_directory(settings.pipelines_dir) if chosen is None else chosen
    if not folder.is_dir():
        raise FeaturesFailed(f"there is no folder {folder}; name that of the views: --views-dir")
    return load_views(folder)


def require_view(name: str, found: ViewFiles) -> None:
    """Returns if there is a view of that name; else tells the view files that are broken.

    Raises:
        FeaturesFailed: there is none.
    """
    if name in found.views:
        return
    print_problems(found)
    hint = nearest(name, found.views)
    suggestion = f"; did you mean {hint!r}?" if hint else ""
    folders = {str(file.parent) for file in [*found.files.values(), *found.errors]}
    place = f" in {', '.join(sorted(folders))}" if folders else ""
    raise FeaturesFailed(f"no view {name!r}{place}{suggestion}")


def print_problems(found: ViewFiles) -> None:
    """Tells what is wrong with view files and event-type files."""
    for problem in found.errors.values():
        errors.print(escape(str(problem)), style="red", highlight=False, soft_wrap=True)


def feature_link(settings: FeaturesSettings) -> RedisLink:
    """Returns a link to the store, not connected yet; close it.

    Raises:
        FeaturesFailed: the URL cannot be used.
    """
    try:
        return RedisLink(settings.feature_redis_url, client_name="tailrace-features-cli")
    except ValueError as error:
        raise FeaturesFailed(f"the Redis URL cannot be used: {error}") from error


def store_place(settings: FeaturesSettings) -> str:
    """Returns where Redis is, without what the URL may hold of credentials."""
    url = urlsplit(settings.feature_redis_url)
    return url.path if url.scheme == "unix" else url.netloc.rpartition("@")[2]
