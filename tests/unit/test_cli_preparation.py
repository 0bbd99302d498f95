"""Examples: their manifest, and that they are prepared once."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from tailrace.cli.example import Example, ExampleInvalid, load_example
from tailrace.cli.preparation import PreparationFailed, PreparedExample, prepare
from tailrace.cli.progress import Steps

MANIFEST = """
example: tiny
pipelines: pipelines
prepare:
  command: ["{python}", prepare.py, "{out}"]
  inputs: [prepare.py, pipelines]
static_views: {plane: plane.parquet}
triton: {repository: models, models: [tiny]}
held_out: {file: held_out.parquet, pipeline: tiny, label: late, score: probability}
"""
PREPARE = """
import pathlib, sys
print("making it", flush=True)
pathlib.Path(sys.argv[1]).mkdir()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small example."""
    folder = tmp_path / "tiny"
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "tiny.yaml").write_text("pipeline: tiny")
    (folder / "example.yaml").write_text(MANIFEST)
    (folder / "prepare.py").write_text(PREPARE)
    return folder


async def prepare_in(folder: Path, cache_dir: Path) -> PreparedExample:
    """Returns the prepared example."""
    return await prepare(load_example(folder), cache_dir, Steps(Console(file=io.StringIO())))


def changed_digest(folder: Path, name: str) -> str:
    """Returns the digest once the file has one more line."""
    path = folder / name
    path.write_text(path.read_text() + "\n# more\n" if path.exists() else "")
    return load_example(folder).digest()


def test_manifest_is_read(folder: Path) -> None:
    example = load_example(folder)
    assert isinstance(example, Example)
    assert example.manifest.triton.models == ["tiny"]
    assert example.pipelines_dir == folder / "pipelines"


def test_folder_without_a_manifest_is_no_example(tmp_path: Path) -> None:
    with pytest.raises(ExampleInvalid, match=r"example\.yaml: .*No such file"):
        load_example(tmp_path)


def test_every_problem_of_a_manifest_is_listed(folder: Path) -> None:
    text = MANIFEST.replace("example: tiny", "exampel: tiny").replace("models: [tiny]", "")
    (folder / "example.yaml").write_text(text)
    with pytest.raises(ExampleInvalid) as caught:
        load_example(folder)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "example",
        "triton.models",
        "exampel",
    ]


@pytest.mark.parametrize("name", ["example.yaml", "prepare.py", "pipelines/new.yaml"])
def test_digest_changes_with_every_input(folder: Path, name: str) -> None:
    before = load_example(folder).digest()
    assert changed_digest(folder, name) != before


@pytest.mark.parametrize("name", ["README.md", "pipelines/__pycache__/x.pyc"])
def test_digest_ignores_what_does_not_matter(folder: Path, name: str) -> None:
    before = load_example(folder).digest()
    (folder / name).parent.mkdir(exist_ok=True)
    assert changed_digest(folder, name) == before


def test_digest_covers_the_lock_file(folder: Path) -> None:
    before = load_example(folder).digest()
    (folder.parent / "requirements.lock").write_text("numpy==1.26.4")
    assert load_example(folder).digest() != before


def test_missing_input_is_an_error(folder: Path) -> None:
    (folder / "prepare.py").unlink()
    with pytest.raises(ExampleInvalid, match="there is no 'prepare.py'"):
        load_example(folder).digest()


async def test_example_is_prepared_once(folder: Path, tmp_path: Path) -> None:
    first = await prepare_in(folder, tmp_path / "cache")
    second = await prepare_in(folder, tmp_path / "cache")
    assert (first.cached, second.cached) == (False, True)
    assert first.folder == second.folder
    assert second.static_views() == {"plane": first.folder / "plane.parquet"}


async def test_nothing_to_prepare_is_served_from_the_folder_itself(
    folder: Path, tmp_path: Path
) -> None:
    manifest = yaml.safe_load(MANIFEST)
    del manifest["prepare"], manifest["held_out"]
    (folder / "example.yaml").write_text(yaml.safe_dump(manifest))
    prepared = await prepare_in(folder, tmp_path / "cache")
    assert (prepared.cached, prepared.seconds) == (True, 0.0)
    assert prepared.model_repository == folder / "models"
    assert prepared.static_views() == {"plane": folder / "plane.parquet"}
    assert not (tmp_path / "cache").exists()


async def test_of_two_at_once_one_prepares(folder: Path, tmp_path: Path) -> None:
    both = await asyncio.gather(*(prepare_in(folder, tmp_path / "cache") for _ in range(2)))
    assert sorted(prepared.cached for prepared in both) == [False, True]


async def test_changed_example_is_prepared_anew(folder: Path, tmp_path: Path) -> None:
    first = await prepare_in(folder, tmp_path / "cache")
    changed_digest(folder, "prepare.py")
    second = await prepare_in(folder, tmp_path / "cache")
    assert not second.cached
    assert first.folder != second.folder


async def test_failed_preparation_quotes_its_last_words(folder: Path, tmp_path: Path) -> None:
    (folder / "prepare.py").write_text("raise SystemExit('no data today')")
    with pytest.raises(PreparationFailed, match="no data today"):
        await prepare_in(folder, tmp_path / "cache")


async def test_preparation_that_makes_nothing_has_failed(folder: Path, tmp_path: Path) -> None:
    (folder / "prepare.py").write_text("")
    with pytest.raises(PreparationFailed, match="did not make"):
        await prepare_in(folder, tmp_path / "cache")
