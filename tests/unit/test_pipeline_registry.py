"""The registry follows its directory and never serves less than it did."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from tailrace.runtime.errors import NotFound, Reason, Unavailable
from tailrace.runtime.pipeline import registry as registry_module
from tailrace.runtime.pipeline.load import Problem, SpecError
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.pipeline.registry import KEPT_VERSIONS, PipelineRegistry
from tests.support.pipeline_files import PIPELINE, changed, write_folder, write_yaml

Registry = PipelineRegistry[str]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every refresh looks, however soon it comes."""
    monkeypatch.setattr(registry_module, "MIN_RESCAN_INTERVAL_S", 0.0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A pipelines directory with `tip`."""
    return write_folder(tmp_path)


def registry_of(directory: Path) -> Registry:
    """A registry that has read its directory once, and compiles to the version."""
    registry = Registry(directory, lambda pipeline: pipeline.version)
    registry.load()
    return registry


def write_version(directory: Path, version: str) -> None:
    """Declares another version of `tip`."""
    write_yaml(directory / "tip.yaml", changed(PIPELINE, ("version", version)))


def test_nothing_is_served_before_the_first_load(directory: Path) -> None:
    registry = Registry(directory, lambda pipeline: pipeline.version)

    assert registry.pipelines() == []
    with pytest.raises(NotFound):
        registry.find("tip")


def test_current_version_is_found_by_no_declared_and_exact_version(directory: Path) -> None:
    registry = registry_of(directory)

    exact = registry.find("tip")

    assert exact.startswith("1-")
    assert registry.find("tip", "1") == exact
    assert registry.find("tip", exact) == exact
    assert "tip" in registry
    assert [pipeline.version for pipeline in registry.pipelines()] == [exact]


def test_changed_file_is_picked_up_and_the_old_version_stays(directory: Path) -> None:
    registry = registry_of(directory)
    before = registry.find("tip")

    write_version(directory, "2")
    registry.load()

    assert registry.find("tip").startswith("2-")
    assert registry.find("tip", before) == before


def test_old_versions_are_kept_up_to_a_limit(directory: Path) -> None:
    registry = registry_of(directory)
    versions = [registry.find("tip")]
    for number in range(2, KEPT_VERSIONS + 3):
        write_version(directory, str(number))
        registry.load()
        versions.append(registry.find("tip"))

    for version in versions[-KEPT_VERSIONS:]:
        assert registry.find("tip", version) == version
    for version in versions[:-KEPT_VERSIONS]:
        with pytest.raises(NotFound):
            registry.find("tip", version)


def test_version_that_comes_back_is_not_compiled_again(directory: Path) -> None:
    compiled: list[str] = []

    def compile_once(pipeline: Pipeline) -> str:
        compiled.append(pipeline.version)
        return pipeline.version

    registry = Registry(directory, compile_once)
    registry.load()
    first = registry.find("tip")
    write_version(directory, "2")
    registry.load()
    write_version(directory, "1")
    registry.load()

    assert registry.find("tip") == first
    assert len(compiled) == 2


def test_unchanged_directory_is_not_read_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_of(directory)
    monkeypatch.setattr(registry_module, "load_directory", lambda _: pytest.fail("read again"))

    registry.load()


def test_broken_file_keeps_the_running_version(directory: Path) -> None:
    registry = registry_of(directory)
    before = registry.find("tip")

    file = write_yaml(directory / "tip.yaml", changed(PIPELINE, ("modle", {})))
    registry.load()

    assert registry.find("tip") == before
    assert "the unknown name 'modle'" in str(registry.errors[file])


def test_broken_view_keeps_the_running_version(directory: Path, tmp_path: Path) -> None:
    registry = registry_of(directory)
    before = registry.find("tip")

    view = write_yaml(tmp_path / "features" / "place.yaml", "view: [")
    registry.load()

    assert registry.find("tip") == before
    assert set(registry.errors) == {view, directory / "tip.yaml"}


@pytest.mark.parametrize(
    "text",
    [
        "owner: !!bool maybe",
        'owner: !!int ""',
        "owner: !!timestamp soon",
        f"owner: {':'.join(['1'] * 400)}.5",
        f"owner: 0x{'f' * 5000}",
    ],
)
def test_file_that_its_parser_stumbles_over_keeps_the_running_version(
    directory: Path, text: str
) -> None:
    registry = registry_of(directory)
    before = registry.find("tip")

    (directory / "tip.yaml").write_text(text)
    registry.load()

    assert registry.find("tip") == before
    assert list(registry.errors) == [directory / "tip.yaml"]


def test_name_that_no_file_can_have_keeps_the_running_version(directory: Path) -> None:
    registry = registry_of(directory)
    before = registry.find("tip")
    function = {
        "step": "function",
        "function": f"{'a' * 300}:f",
        "inputs": ["distance"],
        "outputs": [{"name": "far", "dtype": "float32"}],
    }

    steps = [*PIPELINE["ingest"]["steps"], function]
    write_yaml(directory / "tip.yaml", changed(PIPELINE, ("ingest.steps", steps)))
    registry.load()

    assert registry.find("tip") == before
    assert "too long" in str(registry.errors[directory / "tip.yaml"])


def test_service_that_stumbles_over_a_version_keeps_the_running_one(directory: Path) -> None:
    def compile_for_service(pipeline: Pipeline) -> str:
        if pipeline.spec.version == "2":
            raise ValueError("embedded null byte")
        return pipeline.version

    registry = Registry(directory, compile_for_service)
    registry.load()
    before = registry.find("tip")

    write_version(directory, "2")
    registry.load()

    assert registry.find("tip") == before
    assert "embedded null byte" in str(registry.errors[directory / "tip.yaml"])


def test_link_to_itself_does_not_keep_the_others_out(directory: Path) -> None:
    (directory / "loop.yaml").symlink_to("loop.yaml")

    registry = registry_of(directory)

    assert registry.find("tip")
    assert list(registry.errors) == [directory / "loop.yaml"]


async def test_folder_that_goes_while_it_is_read_is_read_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_of(directory)
    write_version(directory, "2")

    def gone(_: Path) -> None:
        raise FileNotFoundError("went away")

    with monkeypatch.context() as while_it_goes:
        while_it_goes.setattr(registry_module, "load_directory", gone)
        await registry.refresh()
    assert registry.find("tip").startswith("1-")

    await registry.refresh()
    assert registry.find("tip").startswith("2-")


async def test_hop_that_has_just_looked_looks_again_for_a_version_that_it_does_not_know(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "MIN_RESCAN_INTERVAL_S", 0.2)
    registry = registry_of(directory)
    write_version(directory, "2")
    newer = registry_of(directory).find("tip")
    loads = []
    load = registry.load

    def counted() -> None:
        loads.append(1)
        load()

    monkeypatch.setattr(registry, "load", counted)
    found = await asyncio.gather(*(registry.find_for_hop("tip", newer) for _ in range(50)))

    assert set(found) == {newer}
    assert len(loads) == 1


def test_repaired_file_clears_its_error(directory: Path) -> None:
    registry = registry_of(directory)
    write_yaml(directory / "tip.yaml", "pipeline: [")
    registry.load()
    write_version(directory, "2")
    registry.load()

    assert registry.find("tip").startswith("2-")
    assert registry.errors == {}


def test_version_that_the_service_refuses_keeps_the_running_one(directory: Path) -> None:
    def refuse_two(pipeline: Pipeline) -> str:
        if pipeline.spec.version == "2":
            raise SpecError(pipeline.file, [Problem("version", "'2'", "another")])
        return pipeline.version

    registry = Registry(directory, refuse_two)
    registry.load()
    before = registry.find("tip")
    write_version(directory, "2")
    registry.load()

    assert registry.find("tip") == before
    assert list(registry.errors) == [directory / "tip.yaml"]


def test_removed_file_removes_its_pipeline(directory: Path) -> None:
    registry = registry_of(directory)

    (directory / "tip.yaml").unlink()
    registry.load()

    assert registry.pipelines() == []
    with pytest.raises(NotFound) as caught:
        registry.find("tip")
    assert caught.value.reason is Reason.PIPELINE_NOT_FOUND


def test_renamed_file_keeps_its_pipeline(directory: Path) -> None:
    registry = registry_of(directory)
    before = registry.find("tip")

    (directory / "tip.yaml").rename(directory / "other.yaml")
    registry.load()

    assert registry.find("tip") == before


def test_renamed_pipeline_leaves_under_its_old_name(directory: Path) -> None:
    registry = registry_of(directory)

    write_yaml(directory / "tip.yaml", changed(PIPELINE, ("pipeline", "fare")))
    registry.load()

    assert [pipeline.name for pipeline in registry.pipelines()] == ["fare"]


def test_unknown_pipeline_is_not_found_with_the_nearest_name(directory: Path) -> None:
    with pytest.raises(NotFound) as caught:
        registry_of(directory).find("tipp")

    assert caught.value.reason is Reason.PIPELINE_NOT_FOUND
    assert caught.value.field == "pipeline"
    assert "did you mean 'tip'?" in caught.value.message


def test_unknown_version_is_not_found(directory: Path) -> None:
    with pytest.raises(NotFound) as caught:
        registry_of(directory).find("tip", "9")

    assert caught.value.reason is Reason.PIPELINE_VERSION_NOT_FOUND
    assert caught.value.field == "pipeline_version"


def test_hostile_names_are_shortened_in_the_error(directory: Path) -> None:
    registry = registry_of(directory)

    for name, version in (("x" * 100_000, ""), ("tip", "9" * 100_000)):
        with pytest.raises(NotFound) as caught:
            registry.find(name, version)
        assert len(caught.value.message) < 250


# --- as a hop asks -------------------------------------------------------------------------


async def test_hop_reads_the_directory_for_a_version_that_it_does_not_know(
    directory: Path,
) -> None:
    gateway, hop = registry_of(directory), registry_of(directory)
    write_version(directory, "2")
    gateway.load()

    assert await hop.find_for_hop("tip", gateway.find("tip")) == gateway.find("tip")


async def test_hop_reads_the_directory_for_a_pipeline_that_it_does_not_know(
    directory: Path,
) -> None:
    hop = registry_of(directory)
    write_yaml(directory / "fare.yaml", changed(PIPELINE, ("pipeline", "fare")))

    assert (await hop.find_for_hop("fare", "")).startswith("1-")


async def test_exact_version_that_is_not_here_yet_is_unavailable_to_a_hop(
    directory: Path,
) -> None:
    with pytest.raises(Unavailable) as caught:
        await registry_of(directory).find_for_hop("tip", "2-0123456789ab")

    assert caught.value.reason is Reason.PIPELINE_VERSION_NOT_READY
    assert caught.value.retryable


async def test_declared_version_that_is_not_there_is_not_found_to_a_hop(directory: Path) -> None:
    with pytest.raises(NotFound):
        await registry_of(directory).find_for_hop("tip", "2")


async def test_watching_picks_a_change_up(directory: Path) -> None:
    registry = registry_of(directory)
    watching = asyncio.create_task(registry.watch(0.01))
    write_version(directory, "2")

    async with asyncio.timeout(30):
        while not registry.find("tip").startswith("2-"):  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    watching.cancel()


def test_requests_beside_a_load_always_find_their_pipeline(directory: Path) -> None:
    # Other files change; the pipeline itself does not, and may not vanish for an instant.
    registry = registry_of(directory)
    version = registry.find("tip")
    stopped = threading.Event()
    failures: list[Exception] = []

    def ask() -> None:
        while not stopped.is_set():
            try:
                assert registry.find("tip", version) == version
                assert registry.find("tip")
            except Exception as error:
                failures.append(error)
                return

    asking = threading.Thread(target=ask)
    # The threads take turns often enough to meet each other in the middle of anything.
    usual_interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        asking.start()
        for number in range(100):
            write_yaml(directory / "note.txt", f"change {number}")
            registry.load()
    finally:
        stopped.set()
        asking.join()
        sys.setswitchinterval(usual_interval_s)

    assert failures == []


def test_second_file_of_the_same_name_does_not_take_over(directory: Path) -> None:
    registry = registry_of(directory)
    running = registry.find("tip")

    # Sorted before the file that is being served.
    write_yaml(directory / "a.yaml", changed(PIPELINE, ("version", "2")))
    registry.load()

    assert registry.find("tip") == running
    first, second = registry.errors[directory / "a.yaml"], registry.errors[directory / "tip.yaml"]
    assert "tip.yaml has it, too" in str(first)
    assert "a.yaml has it, too" in str(second)

    (directory / "a.yaml").unlink()
    registry.load()
    assert registry.errors == {}
    assert registry.find("tip") == running


def test_two_files_of_one_name_are_both_refused_at_the_start(directory: Path) -> None:
    write_yaml(directory / "a.yaml", changed(PIPELINE, ("version", "2")))

    registry = registry_of(directory)

    assert registry.pipelines() == []
    assert set(registry.errors) == {directory / "a.yaml", directory / "tip.yaml"}
