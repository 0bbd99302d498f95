"""Whether files that a run needs can be read, and those that it makes can be written."""

from __future__ import annotations

import os
from pathlib import Path

from tailrace.loadtest.load_error import LoadError


def check_readable(name: str, path: Path) -> None:
    """Returns if a file can be read.

    Args:
        name: the flag that names it.
        path: the file.

    Raises:
        LoadError: it cannot.
    """
    try:
        if path.is_dir():
            raise LoadError(f"{name}: {path} is a folder", "it takes a file")
        # A pipe's bytes are for who wants them.
        if path.is_fifo():
            return
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise LoadError(
            f"{name}: {path}: {getattr(error, 'strerror', None) or error}",
            f"paths are looked for in {Path.cwd()}",
        ) from None


def check_writable(name: str, path: Path) -> None:
    """Returns if a file can be written, without doing it.

    Args:
        name: the flag that names it.
        path: the file, which may not be there yet.

    Raises:
        LoadError: it cannot.
    """
    try:
        if path.is_dir():
            raise LoadError(f"{name}: {path} is a folder", "it takes a file")
        # Of a link, where it leads to.
        folder = path.resolve().parent if path.is_symlink() else path.parent
        path.lstat()
    except FileNotFoundError:
        folder = path.parent
    except (OSError, ValueError, RuntimeError) as error:
        told = getattr(error, "strerror", None) or error
        raise LoadError(f"{name}: {path}: {told}", "it takes the path of a file") from None
    if not folder.is_dir():
        raise LoadError(f"{name}: there is no folder {folder}", "make it first")
    # A report takes the place of a file, which is the folder's matter; devices stay.
    writable = path if path.exists() and not path.is_file() else folder
    if not os.access(writable, os.W_OK):
        raise LoadError(f"{name}: {writable} cannot be written", "its permissions are in the way")
