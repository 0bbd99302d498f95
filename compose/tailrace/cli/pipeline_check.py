"""Checks pipeline and view files as the services would, without any of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.gateway.hop_compile import compile_everywhere
from tailrace.runtime.pipeline.directory import (
    DirectoryContent,
    features_directory,
    load_directory,
    load_views,
)
from tailrace.runtime.pipeline.load import Problem, SpecError
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.yaml_file import read_yaml

_SUFFIXES = (".yaml", ".yml")


@dataclass(slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        errors: files that cannot be used, in order.
        pipelines: pipelines that can be served.
        views: names of the views that can be used, by file.
    """

    errors: list[SpecError] = field(default_factory=list)
    pipelines: list[Pipeline] = field(default_factory=list)
    views: dict[Path, str] = field(default_factory=dict)

    @property
    def warnings(self) -> dict[Path, list[str]]:
        """What keeps no pipeline out, but fails rows of it: a line each, by pipeline file."""
        found = {pipeline.file: _nan_defaults(pipeline) for pipeline in self.pipelines}
        return {file: lines for file, lines in found.items() if lines}


def check_path(path: Path) -> CheckReport:
    """Returns what is wrong with a pipeline file, a view file, or a folder of them.

    A folder may be one of pipelines (the views are in `features` beside it), one of views, or
    one with a folder `pipelines` in it.
    """
    if not path.exists():
        return CheckReport([SpecError(path, [Problem("", "nothing", "a file or a folder")])])
    if path.is_file():
        return _check_view(path) if _is_view(path) else _check_pipeline(path)
    if (path / "pipelines").is_dir():
        return _check_pipelines(path / "pipelines")
    if path.name == "features":
        return _check_views(path)
    return _check_pipelines(path)


def _check_pipelines(directory: Path) -> CheckReport:
    content = load_directory(directory)
    report = CheckReport()
    errors = dict(content.errors)
    for pipeline in content.pipelines.values():
        try:
            compile_everywhere(pipeline)
        except SpecError as error:
            errors[pipeline.file] = error
        else:
            report.pipelines.append(pipeline)
    report.views = dict(_view_files(features_directory(directory), content))
    report.errors = [errors[file] for file in sorted(errors)]
    if not (report.errors or report.pipelines):
        problem = Problem("", "no pipeline file", f"one that ends in {' or '.join(_SUFFIXES)}")
        report.errors.append(SpecError(directory, [problem]))
    return report


def _check_pipeline(file: Path) -> CheckReport:
    whole = _check_pipelines(file.parent)
    pipelines = [pipeline for pipeline in whole.pipelines if pipeline.file == file]
    own = [error for error in whole.errors if error.file == file]
    if not (pipelines or own):
        expected = f"the name of a pipeline file, which ends in {' or '.join(_SUFFIXES)}"
        own = [SpecError(file, [Problem("", repr(file.name), expected)])]
    # A broken view keeps its pipelines out, so it belongs to the answer.
    views = [
        error for error in whole.errors if error.file.parent == features_directory(file.parent)
    ]
    return CheckReport([*own, *(views if own else [])], pipelines)


def _nan_defaults(pipeline: Pipeline) -> list[str]:
    """Returns a line for each feature whose default its model input does not take."""
    nan = {
        f"{plan.name}.{feature.name}"
        for plan in pipeline.views
        for feature in plan.view.features
        if isinstance(feature.default, float) and math.isnan(feature.default)
    }
    return [
        f"the default of feature {name!r} is NaN, which the model input {item.name!r} does not "
        "take: rows without a value fail, unless it says allow_nan or the default is another"
        for item in pipeline.spec.model.inputs
        if not item.allow_nan
        for name in item.source_columns()
        if name in nan
    ]


def _check_views(directory: Path) -> CheckReport:
    found = load_views(directory)
    views, errors = found.views, found.errors
    content = DirectoryContent(views=views)
    report = CheckReport(views=dict(_view_files(directory, content)))
    report.errors = [errors[file] for file in sorted(errors)]
    if not (report.errors or report.views):
        problem = Problem("", "no view file", f"one that ends in {' or '.join(_SUFFIXES)}")
        report.errors.append(SpecError(directory, [problem]))
    return report


def _check_view(file: Path) -> CheckReport:
    whole = _check_views(file.parent)
    errors = [error for error in whole.errors if error.file == file]
    return CheckReport(errors, views={f: name for f, name in whole.views.items() if f == file})


def _is_view(file: Path) -> bool:
    try:
        content = read_yaml(file).content
    except SpecError:
        return file.parent.name == "features"
    names = content if isinstance(content, dict) else {}
    return "pipeline" not in names and ("view" in names or file.parent.name == "features")


def _view_files(directory: Path, content: DirectoryContent) -> Iterator[tuple[Path, str]]:
    for file in sorted(directory.glob("*.y*ml")):
        try:
            name = read_yaml(file).content["view"]
        except (SpecError, KeyError, TypeError):
            continue
        if name in content.views and file not in content.errors:
            yield file, name
