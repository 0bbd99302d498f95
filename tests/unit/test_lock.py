"""requirements.lock pins what pyproject.toml asks for, and says nothing of where it came from."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_LOCKED = {"gpu"}


def requested() -> list[str]:
    extras = PROJECT["optional-dependencies"]
    locked = [line for extra in extras.keys() - NOT_LOCKED for line in extras[extra]]
    return sorted({*PROJECT["dependencies"], *locked})


def pinned_versions() -> dict[str, str]:
    pins = [line.split(" ")[0] for line in LOCK.splitlines() if "==" in line and line[0].isalnum()]
    return dict(pin.split("==") for pin in pins)


@pytest.mark.parametrize("line", requested())
def test_lock_pins_a_version_that_the_project_takes(line: str) -> None:
    requirement = Requirement(line)

    assert requirement.specifier.contains(pinned_versions()[requirement.name], prereleases=True)


def test_lock_names_no_host() -> None:
    assert "://" not in LOCK
    assert "--index-url" not in LOCK
    assert "--find-links" not in LOCK


def test_lock_has_a_hash_for_every_pin() -> None:
    pins = sum(not line.startswith((" ", "#")) for line in LOCK.splitlines())

    assert LOCK.count(" \\\n    --hash=sha256:") >= pins
