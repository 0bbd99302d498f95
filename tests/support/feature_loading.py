"""Loads a file into a feature view, by the real loader."""

from __future__ import annotations

from pathlib import Path

from tailrace.features.loader import load_view
from tailrace.features.redis_link import RedisLink
from tailrace.runtime.pipeline.load import load_feature_view


async def load_file(file: Path, view_file: Path, redis_url: str, prefix: str = "tailrace") -> None:
    """Returns once lookups read the file's rows."""
    view, _ = load_feature_view(view_file)
    link = RedisLink(redis_url, client_name="tests")
    try:
        await load_view(view, file, link=link, prefix=prefix)
    finally:
        await link.close()
