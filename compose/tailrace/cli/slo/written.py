"""Rendered files in a folder: all of them written or none, or compared with what is there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tailrace.cli.slo.rendering import SloFailed, pattern_of
from tailrace.cli.slo.rule_file import HEADER


def write_files(folder: Path, files: Mapping[Path, str]) -> None:
    """Writes files.

    Every file is written beside its place first, so that one which cannot be written leaves all
    others as they were; and a server that reads meanwhile finds each whole, old or new.

    Args:
        folder: made if it is not there.
        files: texts by path within it.

    Raises:
        SloFailed: a file cannot be written.
    """
    waiting: dict[Path, Path] = {}
    try:
        for path, text in files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir():
                raise IsADirectoryError(f"{place} is a folder")
            waiting[_beside(place, text)] = place
        for new, place in list(waiting.items()):
            os.replace(new, place)
            del waiting[new]
    except OSError as error:
        raise SloFailed(f"cannot write to {folder}: {error}") from error
    finally:
        for new in waiting:
            new.unlink(missing_ok=True)


def differences(folder: Path, files: Mapping[Path, str]) -> list[str]:
    """Returns a line for each file that is missing, or not as it would be rendered."""
    found = []
    for path, text in files.items():
        place = folder / path
        if not place.exists():
            found.append(f"{place} is missing")
        elif _text(place) != text:
            found.append(f"{place} is not what its pipeline file says")
    return found


def leftovers(folder: Path, files: Mapping[Path, str]) -> list[Path]:
    """Returns rendered files beside these, of the same kinds, that are none of them."""
    wanted = {folder / path for path in files}
    kinds = {(path.parent, pattern) for path in wanted if (pattern := pattern_of(path))}
    beside = sorted({path for parent, pattern in kinds for path in parent.glob(pattern)} - wanted)
    return [path for path in beside if (_text(path) or "").startswith(HEADER)]


def _beside(place: Path, text: str) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    new = Path(name)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            # mkstemp lets nobody else read, and Prometheus is somebody else.
            os.fchmod(file.fileno(), 0o644)
    except OSError:
        new.unlink()
        raise
    return new


def _text(path: Path) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")
    return None
