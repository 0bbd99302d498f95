"""Loads the static views of an example into the feature store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from tailrace.cli.local.errors import LaunchError
from tailrace.features.load_errors import LoadFailed
from tailrace.features.loader import load_view
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.config import FeaturesSettings, load_settings
from tailrace.runtime.pipeline.directory import features_directory, load_views
from tailrace.runtime.pipeline.feature_view import FeatureView


class StaticViewFailed(LaunchError):
    """A static view could not be loaded.

    Attributes:
        view: name of the view.
        file: what was to be loaded into it.
    """

    def __init__(self, view: str, file: Path, cause: str) -> None:
        self.view = view
        self.file = file
        super().__init__(f"the view {view!r} could not be loaded from {file}: {cause}")


def load_static_views(files: Mapping[str, Path], pipelines_dir: Path, redis_url: str) -> int:
    """Returns the number of rows once lookups read all views.

    Blocks, and runs an event loop of its own: encoding the rows is work for the processor,
    so this belongs on a thread.

    Args:
        files: file to load, by view.
        pipelines_dir: folder of pipeline files; the views are in `features` beside it.
        redis_url: the feature store.

    Raises:
        StaticViewFailed: if a view is unknown, or its file does not load.
    """
    known = load_views(features_directory(pipelines_dir)).views
    return asyncio.run(_load(files, known, redis_url))


async def _load(files: Mapping[str, Path], known: Mapping[str, FeatureView], redis_url: str) -> int:
    prefix = load_settings(FeaturesSettings).feature_key_prefix
    link = RedisLink(redis_url, client_name="tailrace-up")
    rows = 0
    try:
        for name, file in files.items():
            if name not in known:
                raise StaticViewFailed(name, file, f"there are {', '.join(known) or 'no views'}")
            try:
                rows += (await load_view(known[name], file, link=link, prefix=prefix)).rows
            except LoadFailed as error:
                raise StaticViewFailed(name, file, str(error)) from error
    finally:
        await link.close()
    return rows
