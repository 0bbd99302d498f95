"""Which Redis and view files a command works on that changes what is stored of views."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from tailrace.cli.feature_options import FeaturesFailed, features_settings, store_place
from tailrace.cli.gateway_options import state_directory
from tailrace.cli.local.state import MeshState, StateInvalid, StateMissing, read_state
from tailrace.cli.mesh_folder import find_mesh, find_meshes
from tailrace.runtime.config import FeaturesSettings
from tailrace.runtime.pipeline.directory import features_directory

RedisUrl = Annotated[
    str | None,
    typer.Option(
        help="Redis that holds the features; by default TAILRACE_FEATURE_REDIS_URL, or else that "
        "of the mesh that is up on this machine."
    ),
]
ViewsDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the view files; by default `features` beside TAILRACE_PIPELINES_DIR, or "
        "else that of the mesh whose Redis is used.",
    ),
]
MeshName = Annotated[
    str | None,
    typer.Option(
        "--name", help="A mesh on this machine, for its Redis and views, where several are up."
    ),
]


def place_settings(
    redis_url: str | None, views_dir: Path | None, name: str | None, state_dir: Path | None
) -> FeaturesSettings:
    """Returns the settings, with the Redis and the folder of pipelines that a command works on.

    An option comes first; a mesh that is named comes before the settings, one that is merely up
    after them. A mesh whose Redis is not used says nothing of views either. What is taken from a
    mesh is told on stderr.

    Args:
        redis_url: of the command line, or None.
        views_dir: folder of view files of the command line, which is only told; or None.
        name: name of a mesh, or None for the one that is up.
        state_dir: folder with the state files of meshes, or None for the usual one.

    Raises:
        FeaturesFailed: a mesh and a Redis are named; the mesh that is named is gone; none is
            named, and several are up, or the state file of the only one cannot be read.
        LaunchError: there is no mesh of that name, or its state file cannot be read.
        SettingsError: settings that cannot be used.
    """
    settings = features_settings(redis_url)
    if name is None and "feature_redis_url" in settings.model_fields_set:
        return settings
    if name is not None and redis_url is not None:
        raise FeaturesFailed("give --name or --redis-url, not both")
    mesh = _mesh(state_directory(state_dir), name)
    if mesh is None:
        return settings
    of_mesh: dict[str, object] = {
        "feature_redis_url": mesh.redis.url,
        "pipelines_dir": mesh.pipelines_dir,
        "feature_key_prefix": mesh.feature_key_prefix,
    }
    kept = settings.model_fields_set if name is None else frozenset[str]()
    update = {
        field: value for field, value in of_mesh.items() if value is not None and field not in kept
    }
    settings = settings.model_copy(update=update)
    views = features_directory(settings.pipelines_dir) if views_dir is None else views_dir
    redis = store_place(settings)
    print(
        f"mesh {mesh.mesh}: writes to its Redis at {redis}, by the views of {views}",
        file=sys.stderr,
    )
    return settings


def place_words(settings: FeaturesSettings) -> str:
    """Returns where Redis is, in brackets for the end of a message; says if nothing named it."""
    named = "feature_redis_url" in settings.model_fields_set
    hint = "" if named else ": no mesh is up; name another by --redis-url"
    return f" (Redis at {store_place(settings)}{hint})"


def _mesh(state_dir: Path, name: str | None) -> MeshState | None:
    if name is not None:
        mesh = read_state(find_mesh(state_dir, name).state_path)
        if mesh.stale:
            raise FeaturesFailed(f"the mesh {name!r} is gone: its `tailrace up` no longer runs")
        return mesh
    try:
        folders = find_meshes(state_dir, None)
    except StateMissing:
        return None
    up = []
    for folder in folders:
        # One may have come down since.
        with contextlib.suppress(StateMissing):
            try:
                up.append(read_state(folder.state_path))
            except StateInvalid as error:
                raise FeaturesFailed(f"{error}; or name the Redis: --redis-url URL") from error
    up = [mesh for mesh in up if not mesh.stale]
    if len(up) > 1:
        names = ", ".join(mesh.mesh for mesh in up)
        raise FeaturesFailed(f"several meshes are up; choose one with --name: {names}")
    return up[0] if up else None
