"""What a preparation found out of a pipeline, to be shown with what a trial finds."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tailrace.cli.example import HeldOutSection
from tailrace.cli.local.errors import LaunchError

_FIGURES = TypeAdapter(dict[str, str])


def read_figures(folder: Path, section: HeldOutSection) -> dict[str, str]:
    """Returns texts by name; none if the section names no file.

    Args:
        folder: that the preparation has made.
        section: names the file.

    Raises:
        LaunchError: the file is not there, or holds anything else.
    """
    if section.figures is None:
        return {}
    file = folder / section.figures
    try:
        return _FIGURES.validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise LaunchError(f"held_out.figures: there is no file {file}") from error
    except ValidationError as error:
        raise LaunchError(f"{file} is not a JSON object of texts: {error}") from error
