"""Which Redis and views a command writes by: options, a mesh that is named, settings, a mesh."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailrace.cli.feature_options import FeaturesFailed
from tailrace.cli.feature_place import place_settings, place_words
from tailrace.cli.mesh_folder import MeshUnknown
from tests.support.mesh_state import write_mesh_state

DEFAULT_URL = "redis://127.0.0.1:6379/0"
MESH_URL = "unix:///run/mesh/redis.sock?db=0"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FEATURE_REDIS_URL", "PIPELINES_DIR", "FEATURE_KEY_PREFIX", "STATE_DIR"):
        monkeypatch.delenv(f"TAILRACE_{name}", raising=False)


def write_mesh(state_dir: Path, name: str = "trial", *, is_up: bool = True) -> None:
    """Writes the state of a mesh with its pipelines in `/shop/pipelines`."""
    write_mesh_state(
        state_dir,
        name,
        redis_url=MESH_URL,
        pipelines_dir=Path("/shop/pipelines"),
        prefix="shop",
        is_up=is_up,
    )


def test_what_nothing_names_is_that_of_the_mesh_that_is_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mesh(tmp_path)
    settings = place_settings(None, None, None, tmp_path)
    assert settings.feature_redis_url == MESH_URL
    assert settings.pipelines_dir == Path("/shop/pipelines")
    assert settings.feature_key_prefix == "shop"
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        "mesh trial: writes to its Redis at /run/mesh/redis.sock, by the views of /shop/features\n"
    )
    assert place_words(settings) == " (Redis at /run/mesh/redis.sock)"


def test_a_redis_that_is_named_is_no_mesh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mesh(tmp_path)
    by_option = place_settings("redis://other:1", None, None, tmp_path)
    monkeypatch.setenv("TAILRACE_FEATURE_REDIS_URL", "redis://set:1")
    by_setting = place_settings(None, None, None, tmp_path)
    assert by_option.feature_redis_url == "redis://other:1"
    assert by_setting.feature_redis_url == "redis://set:1"
    assert {by_option.pipelines_dir, by_setting.pipelines_dir} == {Path("pipelines")}
    assert capsys.readouterr().err == ""
    # An option names the mesh, and comes before the setting.
    named = place_settings(None, None, "trial", tmp_path)
    assert named.feature_redis_url == MESH_URL
    with pytest.raises(FeaturesFailed, match="--name or --redis-url, not both"):
        place_settings("redis://other:1", None, "trial", tmp_path)


def test_views_and_prefix_that_are_set_stay_unless_the_mesh_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mesh(tmp_path)
    monkeypatch.setenv("TAILRACE_PIPELINES_DIR", "mine/pipelines")
    monkeypatch.setenv("TAILRACE_FEATURE_KEY_PREFIX", "mine")
    settings = place_settings(None, None, None, tmp_path)
    assert settings.feature_redis_url == MESH_URL
    assert (settings.pipelines_dir, settings.feature_key_prefix) == (Path("mine/pipelines"), "mine")
    assert "by the views of mine/features" in capsys.readouterr().err
    named = place_settings(None, None, "trial", tmp_path)
    assert (named.pipelines_dir, named.feature_key_prefix) == (Path("/shop/pipelines"), "shop")
    place_settings(None, Path("theirs"), "trial", tmp_path)
    assert "by the views of theirs" in capsys.readouterr().err.splitlines()[-1]


def test_without_a_mesh_the_defaults_stay_and_a_message_names_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = place_settings(None, None, None, tmp_path)
    write_mesh(tmp_path, is_up=False)
    gone = place_settings(None, None, None, tmp_path)
    assert {none.feature_redis_url, gone.feature_redis_url} == {DEFAULT_URL}
    assert capsys.readouterr().err == ""
    hint = " (Redis at 127.0.0.1:6379: no mesh is up; name another by --redis-url)"
    assert place_words(none) == place_words(gone) == hint
    named = place_settings("redis://user:secret@other:1", None, None, tmp_path)
    assert place_words(named) == " (Redis at other:1)"
    with pytest.raises(FeaturesFailed, match="'trial' is gone"):
        place_settings(None, None, "trial", tmp_path)


def test_one_of_several_meshes_has_to_be_named(tmp_path: Path) -> None:
    write_mesh(tmp_path, "one")
    write_mesh(tmp_path, "two")
    write_mesh(tmp_path, "gone", is_up=False)
    with pytest.raises(FeaturesFailed, match="choose one with --name: one, two$"):
        place_settings(None, None, None, tmp_path)
    assert place_settings(None, None, "two", tmp_path).feature_redis_url == MESH_URL
    with pytest.raises(MeshUnknown, match="up are: one, two"):
        place_settings(None, None, "three", tmp_path)


def test_state_of_an_earlier_version_still_tells_the_redis(tmp_path: Path) -> None:
    write_mesh(tmp_path)
    path = tmp_path / "meshes" / "trial" / "state.json"
    content = json.loads(path.read_text())
    del content["pipelines_dir"], content["feature_key_prefix"]
    path.write_text(json.dumps(content))
    settings = place_settings(None, None, None, tmp_path)
    assert settings.feature_redis_url == MESH_URL
    assert (settings.pipelines_dir, settings.feature_key_prefix) == (Path("pipelines"), "tailrace")


def test_a_state_that_cannot_be_read_is_not_taken_for_no_mesh(tmp_path: Path) -> None:
    write_mesh(tmp_path)
    (tmp_path / "meshes" / "trial" / "state.json").write_text("{")
    with pytest.raises(FeaturesFailed, match="not a state file of this version.*--redis-url"):
        place_settings(None, None, None, tmp_path)
