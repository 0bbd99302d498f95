"""Loads every pipeline of a directory, with the views beside it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.load import Problem, SpecError, load_feature_view, load_pipeline_spec
from tailrace.runtime.pipeline.plan import Pipeline, compile_pipeline
from tailrace.runtime.pipeline.problem import refusal
from tailrace.runtime.pipeline.spec import PipelineSpec

Signature = tuple[tuple[str, int, int], ...]


@dataclass(slots=True)
class DirectoryContent:
    """What a directory holds.

    Attributes:
        pipelines: the pipelines that could be loaded, by name.
        views: the views that could be loaded, by name.
        errors: what could not be loaded, by file.
    """

    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    views: dict[str, FeatureView] = field(default_factory=dict)
    errors: dict[Path, SpecError] = field(default_factory=dict)


def features_directory(pipelines: Path) -> Path:
    """Returns the directory of the view files: `features`, beside the pipelines directory."""
    # `.` and `..` have no parent in their own text.
    named = pipelines if pipelines.name not in ("", "..") else pipelines.resolve()
    return named.parent / "features"


def directory_signature(pipelines: Path) -> Signature:
    """Returns what changes when any file of the directory changes: path, mtime (ns), size."""
    files = [*pipelines.glob("**/*"), *features_directory(pipelines).glob("*.y*ml")]
    signature = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            # Gone meanwhile, or a link that leads nowhere.
            continue
        if file.is_file() and "__pycache__" not in file.parts:
            signature.append((str(file), status.st_mtime_ns, status.st_size))
    return tuple(sorted(signature))


def load_views(
    directory: Path,
) -> tuple[dict[str, FeatureView], dict[str, str], dict[Path, SpecError]]:
    """Returns the views of a directory and their digests by name, and errors by file."""
    views: dict[str, FeatureView] = {}
    digests: dict[str, str] = {}
    errors: dict[Path, SpecError] = {}
    files: dict[str, list[Path]] = {}
    for file in _yaml_files(directory):
        try:
            view, digest = load_feature_view(file)
        except Exception as error:  # see `refusal`
            errors[file] = refusal(file, error)
            continue
        files.setdefault(view.view, []).append(file)
        views[view.view], digests[view.view] = view, digest
    for name in _claimed_twice("view", files, errors):
        del views[name], digests[name]
    return views, digests, errors


def load_directory(pipelines: Path) -> DirectoryContent:
    """Returns all pipelines of a directory; a broken file never hides a good one."""
    views, view_digests, errors = load_views(features_directory(pipelines))
    refused_views = {file.stem for file in errors}
    content = DirectoryContent(views=views, errors=errors)
    files: dict[str, list[Path]] = {}
    for file in _yaml_files(pipelines):
        try:
            spec, digest = load_pipeline_spec(file)
            used = [view_digests.get(use.view, "") for use in spec.features.views]
            digests = [digest, *used, *_companion_digests(spec, file)]
            pipeline = compile_pipeline(spec, file, views, digests, refused_views)
        except Exception as error:  # see `refusal`
            errors[file] = refusal(file, error)
            continue
        files.setdefault(pipeline.name, []).append(file)
        content.pipelines[pipeline.name] = pipeline
    for name in _claimed_twice("pipeline", files, errors):
        del content.pipelines[name]
    return content


def _claimed_twice(
    what: str, files: dict[str, list[Path]], errors: dict[Path, SpecError]
) -> list[str]:
    """Returns the names that several files claim, and refuses all of those files.

    Which of them is meant cannot be known; what is being served under the name goes on.
    """
    names = [name for name, claimants in files.items() if len(claimants) > 1]
    for name in names:
        for file in files[name]:
            others = ", ".join(other.name for other in files[name] if other != file)
            expected = f"a name of its own: {others} has it, too"
            errors[file] = SpecError(file, [Problem(what, repr(name), expected)])
    return names


def _companion_digests(spec: PipelineSpec, file: Path) -> list[str]:
    # Files that a pipeline reads besides its own: user functions and label files.
    names = [
        f"{step.function.partition(':')[0].replace('.', '/')}.py"
        for step in [*spec.ingest.steps, *spec.postprocess.steps]
        if step.step == "function"
    ]
    names += [
        step.labels_file
        for step in spec.postprocess.steps
        if step.step == "top_k" and step.labels_file is not None
    ]
    digests = []
    for name in names:
        companion = file.parent / name
        if companion.is_file():
            digests.append(hashlib.sha256(companion.read_bytes()).hexdigest())
    return digests


def _yaml_files(directory: Path) -> list[Path]:
    return sorted([*directory.glob("*.yaml"), *directory.glob("*.yml")])
