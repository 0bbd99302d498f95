"""The import package `tailrace` is a namespace whose portions lie in five folders."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTIONS = ("protos", "services", "gateway", "compose", "loadtest")
SUB_PACKAGES = sorted(
    path.relative_to(ROOT)
    for portion in PORTIONS
    for path in (ROOT / portion / "tailrace").iterdir()
    if path.is_dir() and path.name != "__pycache__"
)


@pytest.mark.parametrize("portion", PORTIONS)
def test_namespace_has_no_init_file(portion: str) -> None:
    # One such file would hide the other four portions.
    assert not (ROOT / portion / "tailrace" / "__init__.py").exists()
    assert not (ROOT / portion / "__init__.py").exists()


@pytest.mark.parametrize("portion", PORTIONS)
def test_namespace_holds_packages_only(portion: str) -> None:
    modules = [path.name for path in (ROOT / portion / "tailrace").glob("*.py*")]

    assert modules == []


@pytest.mark.parametrize("sub_package", SUB_PACKAGES, ids=str)
def test_sub_package_is_typed_and_says_what_it_is(sub_package: Path) -> None:
    module = importlib.import_module(".".join(sub_package.parts[1:]))

    assert module.__doc__
    assert (ROOT / sub_package / "py.typed").exists()


def test_no_sub_package_lies_in_two_folders() -> None:
    names = [path.name for path in SUB_PACKAGES]

    assert len(names) == len(set(names))


def test_wheel_and_editable_install_take_every_portion() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]

    assert set(build["dev-mode-dirs"]) == set(PORTIONS)
    assert set(build["targets"]["wheel"]["packages"]) == {f"{name}/tailrace" for name in PORTIONS}
