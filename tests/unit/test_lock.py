"""The locks pin what the project asks for, and say nothing of where it came from."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {
    name: (ROOT / name).read_text() for name in ("requirements.lock", "requirements-feast.lock")
}
FEAST = (ROOT / "requirements-feast.in").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_LOCKED = {"gpu"}


def requested() -> list[str]:
    extras = PROJECT["optional-dependencies"]
    locked = [line for extra in extras.keys() - NOT_LOCKED for line in extras[extra]]
    return sorted({*PROJECT["dependencies"], *locked})


def pinned_versions(lock: str) -> dict[str, str]:
    lines = LOCKS[lock].splitlines()
    pins = [line.split(" ")[0] for line in lines if "==" in line and line[0].isalnum()]
    return dict(pin.split("==") for pin in pins)


@pytest.mark.parametrize("line", requested())
def test_lock_pins_a_version_that_the_project_takes(line: str) -> None:
    requirement = Requirement(line)
    pinned = pinned_versions("requirements.lock")[requirement.name]

    assert requirement.specifier.contains(pinned, prereleases=True)


def test_feasts_lock_pins_versions_that_its_list_takes() -> None:
    lines = [line for line in FEAST.splitlines() if not line.startswith("#")]
    pinned = pinned_versions("requirements-feast.lock")

    assert lines
    for requirement in map(Requirement, lines):
        assert requirement.specifier.contains(pinned[requirement.name], prereleases=True)


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS.keys())
def test_lock_names_no_host(lock: str) -> None:
    assert "://" not in lock
    assert "--index-url" not in lock
    assert "--find-links" not in lock


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS.keys())
def test_lock_has_a_hash_for_every_pin(lock: str) -> None:
    pins = sum(not line.startswith((" ", "#")) for line in lock.splitlines())

    assert lock.count(" \\\n    --hash=sha256:") >= pins
