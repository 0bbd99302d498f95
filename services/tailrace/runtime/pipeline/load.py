"""Loads pipeline, view and event-type files.

Every problem is told with file, path, found and expected.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from tailrace.runtime.pipeline.base import SpecModel, shown
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.problem import Problem, SpecError, nearest
from tailrace.runtime.pipeline.spec import PipelineSpec
from tailrace.runtime.pipeline.validation import problems_of
from tailrace.runtime.pipeline.yaml_file import LoadedFile, read_yaml

__all__ = [
    "Problem",
    "SpecError",
    "load_event_type",
    "load_feature_view",
    "load_pipeline_spec",
    "nearest",
    "read_yaml",
]

Spec = TypeVar("Spec", bound=SpecModel)


def load_pipeline_spec(path: Path) -> tuple[PipelineSpec, str]:
    """Returns the pipeline file and its digest. Raises SpecError."""
    loaded = read_yaml(path)
    return _validate(PipelineSpec, loaded), loaded.digest


def load_feature_view(path: Path) -> tuple[FeatureView, str]:
    """Returns the view file and its digest. Raises SpecError."""
    loaded = read_yaml(path)
    return _validate(FeatureView, loaded), loaded.digest


def load_event_type(path: Path) -> tuple[EventType, str]:
    """Returns the event-type file and its digest. Raises SpecError."""
    loaded = read_yaml(path)
    return _validate(EventType, loaded), loaded.digest


def _validate(model: type[Spec], loaded: LoadedFile) -> Spec:
    if not isinstance(loaded.content, dict):
        found = "a list" if isinstance(loaded.content, list) else shown(loaded.content)
        raise SpecError(loaded.path, [Problem("", found, "a mapping of names to values")])
    try:
        return model.model_validate(loaded.content)
    except ValidationError as error:
        raise SpecError(loaded.path, problems_of(model, loaded.content, error)) from error
