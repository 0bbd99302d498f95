"""What an example's `example.yaml` says: a pipeline that can be tried at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailrace.cli.local.errors import LaunchError
from tailrace.runtime.pipeline.duration import Duration
from tailrace.runtime.pipeline.load import SpecError, read_yaml

MANIFEST = "example.yaml"
_LOCK_FILE = "requirements.lock"
_DIGEST_LENGTH = 16


class ExampleInvalid(LaunchError):
    """A folder is no example, or its manifest cannot be used.

    Attributes:
        path: the manifest.
        problems: everything that is wrong with it.
    """

    def __init__(self, path: Path, problems: list[str]) -> None:
        self.path = path
        self.problems = problems
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PrepareSection(_Section):
    """How to make what the pipeline is served from.

    Attributes:
        command: program and arguments; `{python}` is this Python, `{out}` the folder to make.
        inputs: files and folders, relative to the manifest, that the result depends on.
    """

    command: list[str] = Field(min_length=1)
    inputs: list[str] = Field(min_length=1)


class GpuSection(_Section):
    """What `tailrace up --gpu` runs instead.

    Attributes:
        config_name: which of each model's `configs/` to use.
        substitutes: model to call in place of each model that pipelines name.
    """

    config_name: str
    substitutes: dict[str, str] = Field(min_length=1)


class TritonSection(_Section):
    """The models.

    Attributes:
        repository: the model repository, in the prepared folder.
        config_name: which of each model's `configs/` to use.
        models: the models to load.
        gpu: what to run instead on a GPU, if the example has anything for one.
    """

    repository: Path
    config_name: str = ""
    models: list[str] = Field(min_length=1)
    gpu: GpuSection | None = None

    def on_gpu(self) -> TritonSection:
        """Returns the section with the models for a GPU. Raises LaunchError if there are none."""
        if self.gpu is None:
            raise LaunchError(f"{MANIFEST} has no models for a GPU: triton.gpu is missing")
        models = [self.gpu.substitutes.get(model, model) for model in self.models]
        return self.model_copy(update={"config_name": self.gpu.config_name, "models": models})


class ReplaySection(_Section):
    """A stretch of rows with known outcomes, and the events that became known meanwhile.

    Attributes:
        file: a Parquet file in the prepared folder, with a column per request field.
        instant: the request field with the instant that a row is asked at.
        events: a Parquet file in the prepared folder for each event type, with the columns id,
            event_time, known_at and one per field.
        lead: how long before the first row events begin.
        expected: the column with what `score` has to be, as computed offline.
    """

    file: Path
    instant: str
    events: dict[str, Path] = Field(min_length=1)
    lead: Duration
    expected: str | None = None


class HeldOutSection(_Section):
    """Rows with known outcomes.

    Attributes:
        file: a Parquet file in the prepared folder, with a column per request field.
        pipeline: the pipeline to ask.
        label: the boolean column with the outcome.
        score: the output of the pipeline that ranks the rows.
        replay: rows to try in place of these, in order of time, with the events between them; for
            pipelines that read windowed views.
        figures: a JSON file in the prepared folder with what else is known of the pipeline: an
            object of texts, shown by their names.
    """

    file: Path
    pipeline: str
    label: str
    score: str
    replay: ReplaySection | None = None
    figures: Path | None = None


class Manifest(_Section):
    """The content of `example.yaml`.

    Where nothing has to be prepared, the prepared folder is that of the manifest.

    Attributes:
        example: name of the example.
        pipelines: folder of pipeline files, relative to the manifest.
        prepare: how to make what the pipelines are served from; None if it is there already.
        static_views: file to load into each static view, in the prepared folder.
        triton: the models.
        held_out: rows to try the mesh with, if there are any.
    """

    example: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")
    pipelines: Path
    prepare: PrepareSection | None = None
    static_views: dict[str, Path] = Field(default_factory=dict)
    triton: TritonSection
    held_out: HeldOutSection | None = None


@dataclass(frozen=True)
class Example:
    """An example in its folder.

    Attributes:
        folder: the folder, absolute.
        manifest: what its manifest says.
    """

    folder: Path
    manifest: Manifest

    @property
    def pipelines_dir(self) -> Path:
        """The folder of its pipeline files."""
        return self.folder / self.manifest.pipelines

    def digest(self) -> str:
        """Returns what changes when the prepared folder would come out differently.

        It covers the manifest, the content of the inputs it names, and the lock file of the
        project that the example belongs to, if there is one.
        """
        digest = hashlib.sha256()
        for file in [self.folder / MANIFEST, *self._inputs(), *self._lock_file()]:
            name = file.relative_to(self.folder) if file.is_relative_to(self.folder) else file.name
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{name}\0{content}\n".encode())
        return digest.hexdigest()[:_DIGEST_LENGTH]

    def _inputs(self) -> Iterator[Path]:
        prepare = self.manifest.prepare
        for name in sorted(prepare.inputs if prepare else ()):
            path = self.folder / name
            if path.is_file():
                yield path
            elif path.is_dir():
                files = (file for file in path.rglob("*") if file.is_file())
                yield from sorted(file for file in files if "__pycache__" not in file.parts)
            else:
                raise ExampleInvalid(
                    self.folder / MANIFEST, [f"prepare.inputs: there is no {name!r} beside it"]
                )

    def _lock_file(self) -> list[Path]:
        for folder in self.folder.parents:
            if (folder / _LOCK_FILE).is_file():
                return [folder / _LOCK_FILE]
        return []


def load_example(folder: Path) -> Example:
    """Returns the example in a folder.

    Raises:
        ExampleInvalid: if there is none, or its manifest cannot be used.
    """
    path = folder.absolute() / MANIFEST
    try:
        manifest = Manifest.model_validate(read_yaml(path).content)
    except SpecError as error:
        raise ExampleInvalid(path, [str(problem) for problem in error.problems]) from error
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc']) or '(top)'}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise ExampleInvalid(path, problems) from error
    return Example(path.parent, manifest)
