"""Pipelines of a test's own, written to files and loaded as services do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.plan import Pipeline


def write_pipeline(
    folder: Path,
    fields: Mapping[str, Any] | None = None,
    steps: Sequence[Mapping[str, Any]] = (),
    columns: Sequence[str] = (),
    *,
    name: str = "under-test",
    dtype: str = "float32",
    outputs: Sequence[Mapping[str, Any]] | None = None,
    postprocess: Mapping[str, Any] | None = None,
    functions: str = "",
    model_inputs: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Writes a pipeline to `folder`/pipelines, and returns that directory.

    Args:
        folder: of the test.
        fields: request fields.
        steps: ingest steps.
        columns: what the model reads, as `dtype`; a single one as it is, of any shape.
        name: of the pipeline.
        dtype: of the model's input.
        outputs: of the model.
        postprocess: the whole section.
        functions: text of the module `functions` beside the pipeline.
        model_inputs: all inputs of the model, in place of one that reads `columns`.
    """
    directory = folder / "pipelines"
    directory.mkdir(parents=True, exist_ok=True)
    fields = fields or {"x": {"type": "double"}}
    columns = columns or list(fields)[:1]
    source = {"column": columns[0]} if len(columns) == 1 else {"columns": list(columns)}
    outputs = outputs or [{"name": "score", "dtype": "float32", "shape": [1]}]
    content = {
        "pipeline": name,
        "version": "1",
        "request": {"fields": dict(fields)},
        "ingest": {"steps": list(steps)},
        "model": {
            "name": "model",
            "inputs": list(
                model_inputs or [{"name": "input", "dtype": dtype, "allow_nan": True, **source}]
            ),
            "outputs": list(outputs),
        },
        "postprocess": postprocess or {"outputs": [{"name": outputs[0]["name"]}]},
    }
    (directory / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    if functions:
        (directory / "functions.py").write_text(functions)
    return directory


def load_pipeline(directory: Path, name: str = "under-test") -> Pipeline:
    """Returns a pipeline of a directory; raises what keeps it from being served."""
    content = load_directory(directory)
    for error in content.errors.values():
        raise error
    return content.pipelines[name]


def written_pipeline(folder: Path, *arguments: Any, **sections: Any) -> Pipeline:
    """Returns a pipeline written with `write_pipeline`'s arguments."""
    return load_pipeline(write_pipeline(folder, *arguments, **sections))
