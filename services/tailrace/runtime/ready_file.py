"""The file by which a process says that its ports are bound, and which they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def write_ready_file(file: Path, content: Mapping[str, object]) -> None:
    """Writes the content as JSON, so that readers see either nothing, the old, or all of it."""
    partial = file.with_name(file.name + ".partial")
    partial.write_text(json.dumps(content))
    partial.replace(file)
