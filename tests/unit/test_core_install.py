"""The core of the package, without any extra, is enough for a caller."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = {"googleapis-common-protos", "grpcio", "protobuf", "tailrace", "typing-extensions"}

# Installing reaches for the package index.
pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that has to succeed; a failure shows all it printed."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def core_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what its core asks for."""
    folder = tmp_path_factory.mktemp("core")
    python = folder / "venv" / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    locked = ("--constraints", ROOT / "requirements.lock")
    run(uv, "pip", "install", "--quiet", "--python", python, *locked, wheel, cwd=folder)
    return python


def test_core_installs_grpc_and_protobuf_only(core_python: Path) -> None:
    uv = Path(sys.executable).with_name("uv")

    frozen = run(uv, "pip", "freeze", "--python", core_python, cwd=core_python.parent)

    names = {line.split("==")[0].split(" @ ")[0] for line in frozen.splitlines()}
    assert {"grpcio", "protobuf", "tailrace"} <= names <= CORE


@pytest.mark.parametrize(
    "module",
    [
        "tailrace.client",
        "tailrace.client.receiver",
        "tailrace.v1.prediction_service_pb2_grpc",
        "tailrace.v1",
    ],
)
def test_core_imports_client_and_stubs(core_python: Path, module: str) -> None:
    # Away from the working tree and in isolated mode, so that only the installed wheel is found.
    run(core_python, "-I", "-W", "error", "-c", f"import {module}", cwd=core_python.parent)


@pytest.mark.parametrize("command", [["tailrace", "--help"], ["python", "-m", "tailrace.cli"]])
def test_core_says_which_extra_the_command_needs(core_python: Path, command: list[str]) -> None:
    program = core_python.with_name(command[0])
    result = subprocess.run(
        [program, *command[1:]], cwd=core_python.parent, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert 'pip install "tailrace[server]"' in line


def test_wheel_carries_every_portion_with_its_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    for package in ("v1", "runtime", "gateway", "client", "webhooks", "cli", "loadtest"):
        assert f"tailrace/{package}/py.typed" in names
    assert "tailrace/v1/prediction_service_pb2.pyi" in names
    assert "tailrace/v1/prediction_service.proto" in names
    assert "tailrace/__init__.py" not in names
