"""Loads every pipeline of a directory, with the views and the event types beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tailrace.runtime.pipeline.event_fit import event_problems
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.load import (
    Problem,
    SpecError,
    load_event_type,
    load_feature_view,
    load_pipeline_spec,
)
from tailrace.runtime.pipeline.plan import Pipeline, compile_pipeline
from tailrace.runtime.pipeline.problem import refusal
from tailrace.runtime.pipeline.spec import PipelineSpec

Signature = tuple[tuple[str, int, int], ...]
Spec = TypeVar("Spec")


@dataclass(slots=True)
class DirectoryContent:
    """What a directory holds.

    Attributes:
        pipelines: the pipelines that could be loaded, by name.
        views: the views that could be loaded, by name.
        events: the event types that could be loaded, by name.
        files: the file of each view, by view.
        errors: what could not be loaded, by file.
    """

    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    views: dict[str, FeatureView] = field(default_factory=dict)
    events: dict[str, EventType] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    errors: dict[Path, SpecError] = field(default_factory=dict)


def features_directory(pipelines: Path) -> Path:
    """Returns the directory of the view files: `features`, beside the pipelines directory."""
    # `.` and `..` have no parent in their own text.
    named = pipelines if pipelines.name not in ("", "..") else pipelines.resolve()
    return named.parent / "features"


def events_directory(features: Path) -> Path:
    """Returns the directory of the event-type files: `events`, beside the view files' one."""
    named = features if features.name not in ("", "..") else features.resolve()
    return named.parent / "events"


def directory_signature(pipelines: Path) -> Signature:
    """Returns what changes when any file of the directory changes: path, mtime (ns), size."""
    features = features_directory(pipelines)
    files = [*pipelines.glob("**/*"), *features.glob("*.y*ml")]
    files += events_directory(features).glob("*.y*ml")
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


@dataclass(slots=True)
class ViewFiles:
    """The view files of a directory, with the event types beside it.

    Attributes:
        views: the views that could be loaded, by name.
        events: the event types that could be loaded, by name.
        digests: what changes with a view's own file or that of its events, by view.
        files: the file of each view, by view.
        errors: what could not be loaded, by file.
    """

    views: dict[str, FeatureView] = field(default_factory=dict)
    events: dict[str, EventType] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    errors: dict[Path, SpecError] = field(default_factory=dict)


def load_views(directory: Path) -> ViewFiles:
    """Returns the views of a directory; a broken file never hides a good one."""
    found = ViewFiles()
    events = _load_events(events_directory(directory), found.errors)
    found.events = {name: event for name, (event, _, _) in events.items()}
    view_files = _yaml_files(directory)
    views = _load_named("view", view_files, load_feature_view, lambda v: v.view, found.errors)
    for name, (view, digest, file) in views.items():
        problems = event_problems(view, found.events)
        if problems:
            found.errors[file] = SpecError(file, problems)
            continue
        if view.kind == "windowed":
            event, of_events, _ = events[view.events.event]
            view, digest = view.of_events(event), digest + of_events
        found.views[name], found.files[name], found.digests[name] = view, file, digest
    return found


def load_event_types(directory: Path) -> tuple[dict[str, EventType], dict[Path, SpecError]]:
    """Returns the event types of a directory by name, and what could not be loaded by file."""
    errors: dict[Path, SpecError] = {}
    events = _load_events(directory, errors)
    return {name: event for name, (event, _, _) in events.items()}, errors


def _load_events(
    directory: Path, errors: dict[Path, SpecError]
) -> dict[str, tuple[EventType, str, Path]]:
    files = _yaml_files(directory)
    return _load_named("event", files, load_event_type, lambda event: event.event, errors)


def _load_named(
    what: str,
    files: Iterable[Path],
    load: Callable[[Path], tuple[Spec, str]],
    name_of: Callable[[Spec], str],
    errors: dict[Path, SpecError],
) -> dict[str, tuple[Spec, str, Path]]:
    """Returns what the files hold, with digest and file, by name; errors are told by file."""
    loaded: dict[str, tuple[Spec, str, Path]] = {}
    claimants: dict[str, list[Path]] = {}
    for file in files:
        try:
            spec, digest = load(file)
        except Exception as error:  # see `refusal`
            errors[file] = refusal(file, error)
            continue
        claimants.setdefault(name_of(spec), []).append(file)
        loaded[name_of(spec)] = spec, digest, file
    for name in _claimed_twice(what, claimants, errors):
        del loaded[name]
    return loaded


def load_directory(pipelines: Path) -> DirectoryContent:
    """Returns all pipelines of a directory; a broken file never hides a good one."""
    found = load_views(features_directory(pipelines))
    views, errors = found.views, found.errors
    refused_views = {file.stem for file in errors}
    content = DirectoryContent(views=views, events=found.events, files=found.files, errors=errors)
    files: dict[str, list[Path]] = {}
    for file in _yaml_files(pipelines):
        try:
            spec, digest = load_pipeline_spec(file)
            used = [found.digests.get(use.view, "") for use in spec.features.views]
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
