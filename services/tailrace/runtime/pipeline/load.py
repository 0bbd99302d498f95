"""Reads pipeline and view files; every problem is told with file, path, found and expected."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tailrace.runtime.pipeline.base import SpecModel
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.spec import PipelineSpec

MAX_FILE_BYTES = 4 * 1024 * 1024
Spec = TypeVar("Spec", bound=SpecModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file.

    Attributes:
        path: where in the file, such as `ingest.steps[2].parts`.
        found: what stands there, shortened.
        expected: what should.
        suggestion: the nearest valid name, or empty.
    """

    path: str
    found: str
    expected: str
    suggestion: str = ""

    def __str__(self) -> str:
        """Returns the problem in one line."""
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        return f"{self.path or '(top)'}: found {self.found}, expected {self.expected}{hint}"


class SpecError(Exception):
    """A pipeline or view file that cannot be used.

    Attributes:
        file: the file.
        problems: everything that is wrong with it; never empty.
    """

    def __init__(self, file: Path, problems: list[Problem]) -> None:
        """Keeps file and problems."""
        self.file = file
        self.problems = problems
        super().__init__("\n".join(f"{file}: {problem}" for problem in problems))


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file as read: its text digested, its content parsed."""

    path: Path
    content: Any
    digest: str


def nearest(name: str, known: list[str] | Mapping[str, object]) -> str:
    """Returns the known name most like `name`, or an empty string if none is near."""
    matches = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return matches[0] if matches else ""


def read_yaml(path: Path) -> LoadedFile:
    """Returns the parsed file. Raises SpecError if it cannot be read or is not YAML."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecError(
            path, [Problem("", error.strerror or "an error", "a readable file")]
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise SpecError(path, [Problem("", f"{len(data)} bytes", f"at most {MAX_FILE_BYTES}")])
    try:
        content = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        found = str(getattr(error, "problem", None) or "text that is not YAML")
        raise SpecError(path, [Problem(where, found, "YAML")]) from error
    return LoadedFile(path, content, hashlib.sha256(data).hexdigest())


def load_pipeline_spec(path: Path) -> tuple[PipelineSpec, str]:
    """Returns the pipeline file and its digest. Raises SpecError."""
    loaded = read_yaml(path)
    return _validate(PipelineSpec, loaded), loaded.digest


def load_feature_view(path: Path) -> tuple[FeatureView, str]:
    """Returns the view file and its digest. Raises SpecError."""
    loaded = read_yaml(path)
    return _validate(FeatureView, loaded), loaded.digest


def _validate(model: type[Spec], loaded: LoadedFile) -> Spec:
    if not isinstance(loaded.content, dict):
        found = type(loaded.content).__name__
        raise SpecError(loaded.path, [Problem("", found, "a mapping of names to values")])
    try:
        return model.model_validate(loaded.content)
    except ValidationError as error:
        problems = [_problem(model, detail) for detail in error.errors(include_url=False)]
        raise SpecError(loaded.path, problems) from error


def _problem(model: type[BaseModel], detail: Any) -> Problem:
    location = list(detail["loc"])
    tags = {"request": "type", "ingest": "step", "postprocess": "step"}
    context = detail.get("ctx", {})
    path = _path_text(location, detail, tags)
    if detail["type"] == "extra_forbidden":
        known = _known_names(model, location[:-1])
        return Problem(
            path,
            f"the unknown name {location[-1]!r}",
            f"one of: {', '.join(known)}" if known else "no such name",
            nearest(str(location[-1]), known),
        )
    if detail["type"] == "union_tag_invalid":
        expected = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        key = context["discriminator"].strip("'")
        return Problem(
            f"{path}.{key}",
            repr(context["tag"]),
            f"one of: {', '.join(expected)}",
            nearest(context["tag"], expected),
        )
    if detail["type"] == "missing":
        return Problem(path, "nothing", "a value: it is required")
    if detail["type"] in ("enum", "literal_error"):
        expected = [
            item.strip(" '") for item in context["expected"].replace(" or ", ",").split(",")
        ]
        found = str(detail["input"])
        return Problem(
            path, repr(found), f"one of: {', '.join(expected)}", nearest(found, expected)
        )
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return Problem(path, _shorten(detail["input"]), message)


def _path_text(location: list[Any], detail: Any, tags: dict[str, str]) -> str:
    # pydantic puts the tag of a union into the location; it is no part of the file's path.
    text = ""
    skip_tag_at: int | None = None
    if location[:2] == ["request", "fields"]:
        skip_tag_at = 3
    elif location[:2] in (["ingest", "steps"], ["postprocess", "steps"]):
        skip_tag_at = 3
    for place, part in enumerate(location):
        if place == skip_tag_at and detail["type"] != "union_tag_invalid":
            continue
        if part == "[key]":
            continue
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _known_names(model: type[BaseModel], location: list[Any]) -> list[str]:
    # Walks the annotations along the path to the model that refused the name.
    candidates: list[type[BaseModel]] = [model]
    for part in location:
        following: list[type[BaseModel]] = []
        for candidate in candidates:
            info = candidate.model_fields.get(str(part))
            if info is not None:
                following += _models_in(info.annotation, info.metadata)
        tagged = [c for c in candidates if _has_tag(c, part)]
        candidates = following or tagged or candidates
    return sorted({name for candidate in candidates for name in candidate.model_fields})


def _has_tag(model: type[BaseModel], tag: object) -> bool:
    for key in ("type", "step"):
        info = model.model_fields.get(key)
        if info is not None and tag in getattr(info.annotation, "__args__", ()):
            return True
    return False


def _models_in(annotation: Any, metadata: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for argument in getattr(annotation, "__args__", ()):
        found += _models_in(argument, metadata)
    return found


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
