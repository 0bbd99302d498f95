"""The folder that a preparation fills: whole or not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FACTS_FILE = "facts.json"


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """Yields a folder to write to, which takes the name `folder` once the block ends well.

    If it ends badly, what was written goes and an earlier `folder` stays.

    Raises:
        FileExistsError: there is a folder of that name which no preparation has made.
    """
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()) and not (folder / FACTS_FILE).is_file():
        raise FileExistsError(f"{folder} holds something else and is left alone")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the final place, so that renaming does not cross file systems.
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield partial
        partial.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
