"""`tailrace features` against the views and the store of a world."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.command import run_command
from tests.support.feature_world import PREFIX, FeatureWorld

_COMMAND = [sys.executable, "-m", "tailrace.cli", "features"]


def _environment(world: FeatureWorld) -> dict[str, str]:
    return {
        **os.environ,
        "TAILRACE_FEATURE_REDIS_URL": world.url,
        "TAILRACE_FEATURE_KEY_PREFIX": PREFIX,
        "TAILRACE_PIPELINES_DIR": str(world.pipelines_dir),
    }


def run_features(world: FeatureWorld, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Returns what the command came to; it runs in the world's folder."""
    return run_command(["features", *arguments], world.folder, _environment(world))


def start_features(world: FeatureWorld, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Returns the command while it runs, in a process of its own; its output goes to `log`.

    Wait for it, or kill it.
    """
    with log.open("wb") as output:
        return subprocess.Popen(
            [*_COMMAND, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=world.folder,
            env=_environment(world),
        )
