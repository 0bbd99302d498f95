"""Label files: one label per line."""

from __future__ import annotations

from pathlib import Path

from tailrace.runtime.pipeline.problem import Problem
from tailrace.runtime.steps.column_types import StepRefused

MAX_LABEL_FILE_BYTES = 16 * 1024 * 1024


def read_labels(pipeline_file: Path, name: str, path: str) -> list[str]:
    """Returns the labels in a file, UTF-8, one per line, in the order of the scores.

    Args:
        pipeline_file: the file is looked for beside it.
        name: of the label file.
        path: where in the pipeline file it is named, for the error.

    Raises:
        StepRefused: the file cannot be read, is too large, or has no or an empty label.
    """
    file = pipeline_file.parent / name
    try:
        if file.stat().st_size > MAX_LABEL_FILE_BYTES:
            found = f"{file.stat().st_size} bytes in {name!r}"
            raise StepRefused([Problem(path, found, f"at most {MAX_LABEL_FILE_BYTES}")])
        labels = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        found = f"{name!r}: {error.strerror}"
        raise StepRefused([Problem(path, found, "a readable file beside the pipeline")]) from error
    except UnicodeDecodeError as error:
        raise StepRefused([Problem(path, f"{name!r}, which is not UTF-8", "text")]) from error
    empty = [place for place, label in enumerate(labels, start=1) if not label.strip()]
    if empty:
        found = f"an empty line {empty[0]} in {name!r}"
        raise StepRefused([Problem(path, found, "a label on every line")])
    return labels
