"""Which Triton to run on this machine, and what it needs around it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.cli.local.errors import ServerMissing

_WITHOUT_TRITON = "Without Triton, run the model in-process: --inference-backend onnxruntime."


@dataclass(frozen=True, kw_only=True)
class TritonInstall:
    """A Triton that can be started.

    Attributes:
        binary: the program.
        arguments: what must be on its command line.
        env: what must be in its environment, beside the launcher's own.
    """

    binary: Path
    arguments: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


def find_triton(server_path: Path | None, *, cache_dir: Path) -> TritonInstall:
    """Returns the Triton to run: `server_path` if given, else PATH's, else the wheel's.

    Args:
        server_path: a `tritonserver` named by the user, with its backends beside it.
        cache_dir: where the wheel's Python backend is put together, once per version.

    Raises:
        ServerMissing: if there is none, or something that the wheel's needs is missing.
    """
    if server_path is not None:
        if server_path.is_file():
            return TritonInstall(binary=server_path)
        raise ServerMissing(
            "tritonserver", searched=[str(server_path)], remedy=f"Correct it. {_WITHOUT_TRITON}"
        )
    on_path = shutil.which("tritonserver")
    if on_path:
        return TritonInstall(binary=Path(on_path))
    return _install_from_wheel(cache_dir)


def _install_from_wheel(cache_dir: Path) -> TritonInstall:
    wheel = importlib.util.find_spec("pytriton")
    if wheel is None or wheel.origin is None:
        raise ServerMissing(
            "tritonserver",
            searched=["PATH", "the wheel nvidia-pytriton"],
            remedy="Name one in the settings, or install the extra `local` (it has a wheel for "
            f"Linux on x86-64 and aarch64 only; this is {sysconfig.get_platform()}). "
            f"{_WITHOUT_TRITON}",
        )
    package_dir = Path(wheel.origin).parent
    server_dir = package_dir / "tritonserver"
    backend_dir = _prepare_backends(server_dir, cache_dir)
    libraries = [_find_libpython().parent, package_dir.parent / "nvidia_pytriton.libs"]
    return TritonInstall(
        binary=server_dir / "bin" / "tritonserver",
        arguments=(f"--backend-directory={backend_dir}",),
        env={
            "LD_LIBRARY_PATH": _in_front("LD_LIBRARY_PATH", *libraries),
            # The backend's interpreter ignores PYTHONPATH. It finds the packages of this
            # environment because the first `python` on PATH is this environment's.
            "PATH": _in_front("PATH", Path(sys.executable).parent),
        },
    )


def _prepare_backends(server_dir: Path, cache_dir: Path) -> Path:
    """Returns a backend folder for the running Python, made once and kept in `cache_dir`.

    The wheel has one Python backend and a stub process per Python version, in different
    folders; Triton wants the stub beside the backend.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server_dir / "python_backend_stubs" / python / "triton_python_backend_stub"
    if not stub.is_file():
        versions = sorted(path.name for path in stub.parents[1].glob("*/"))
        raise ServerMissing(
            f"the stub of Triton's Python backend for Python {python}",
            searched=[str(stub)],
            remedy=f"The wheel has it for Python {', '.join(versions)}. {_WITHOUT_TRITON}",
        )
    version = importlib.metadata.version("nvidia-pytriton")
    prepared = cache_dir / f"triton-backends-{version}-python{python}"
    if prepared.is_dir():
        return prepared
    cache_dir.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed, so that nobody ever sees half of it.
    aside = Path(tempfile.mkdtemp(prefix=f"{prepared.name}-", dir=cache_dir))
    try:
        python_backend = aside / "python"
        shutil.copytree(
            server_dir / "backends" / "python",
            python_backend,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        shutil.copy2(stub, python_backend)
        aside.chmod(0o755)
        aside.rename(prepared)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        # Somebody else may have been faster.
        if not prepared.is_dir():
            raise
    return prepared


def _find_libpython() -> Path:
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    folders = [Path(sys.base_prefix) / "lib"]
    libdir, multiarch = sysconfig.get_config_vars("LIBDIR", "MULTIARCH")
    if libdir:
        folders[:0] = [Path(libdir), Path(libdir) / (multiarch or "")]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    known_to_loader = _ask_loader(name)
    if known_to_loader:
        return known_to_loader
    raise ServerMissing(
        name,
        searched=[*(str(folder) for folder in dict.fromkeys(folders)), "ldconfig"],
        remedy="Triton's Python backend links against it. Install it (on Debian: "
        f"apt install {name.partition('.so')[0]}), or use a Python built with --enable-shared. "
        f"{_WITHOUT_TRITON}",
    )


def _ask_loader(name: str) -> Path | None:
    try:
        listing = subprocess.run(
            ["/sbin/ldconfig", "-p"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    for line in listing.splitlines():
        library, _, path = line.strip().partition(" => ")
        if library.split(" ")[0] == name and Path(path).is_file():
            return Path(path)
    return None


def _in_front(variable: str, *folders: Path) -> str:
    """Returns this process's search path with `folders` in front of it."""
    inherited = os.environ.get(variable, "")
    return os.pathsep.join([*map(str, folders), *([inherited] if inherited else [])])
