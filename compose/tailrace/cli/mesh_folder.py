"""The folder of one mesh on this machine: state file, logs, ready files, and who owns it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import psutil

from tailrace.cli.local.errors import LaunchError
from tailrace.cli.local.scrape_targets import TARGETS_FILE
from tailrace.cli.local.state import MeshState, StateInvalid, StateMissing, read_state

_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_STATE_FILE, _LOCK_FILE = "state.json", "lock"


class MeshNameInvalid(LaunchError):
    """A name that no mesh can have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} cannot be the name of a mesh: 1 to 40 letters, digits, '-' and '_' can"
        )


class MeshAlreadyUp(LaunchError):
    """A mesh of that name is up, or on its way up or down.

    Attributes:
        name: the name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"a mesh named {name!r} is already up here; stop it with Ctrl-C where it runs, "
            "or start another one beside it: tailrace up --name OTHER --port 0"
        )


class MeshUnknown(LaunchError):
    """No mesh of that name is up.

    Attributes:
        name: the name.
        up: the names of those that are.
    """

    def __init__(self, name: str, up: Sequence[str]) -> None:
        self.name = name
        self.up = tuple(up)
        others = (
            f"up are: {', '.join(up)}" if up else "nor is another; start one: tailrace up FOLDER"
        )
        super().__init__(f"no mesh named {name!r} is up, {others}")


class MeshFolder:
    """Where a mesh keeps what others may want to read, under `STATE_DIR/meshes/NAME`.

    Attributes:
        name: name of the mesh.
        path: the folder; exists while the mesh is up.
    """

    def __init__(self, state_dir: Path, name: str) -> None:
        """Names the folder; `claimed` makes it.

        Raises:
            MeshNameInvalid: if no mesh can be called `name`.
        """
        if not _NAME.fullmatch(name):
            raise MeshNameInvalid(name)
        self.name = name
        self.path = (state_dir / "meshes" / name).absolute()

    @property
    def state_path(self) -> Path:
        """The state file."""
        return self.path / _STATE_FILE

    @property
    def targets_path(self) -> Path:
        """What Prometheus is to scrape, as its `file_sd_configs` read it."""
        return self.path / TARGETS_FILE

    @property
    def kept_queue_path(self) -> Path:
        """Where the queue of meshes of this name is kept, if it is to be."""
        return self.path.parents[1] / "queues" / self.name

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Owns the folder inside the block, and leaves nothing but logs of a failure.

        What a launcher that was killed has left behind is cleared away first. The claim is a
        lock of the kernel's, so it ends with this process, however that ends.

        Raises:
            MeshAlreadyUp: if another process owns it.
        """
        with self._lock():
            self._clear_leftovers()
            try:
                yield
            except BaseException:
                for path in (self.state_path, self.targets_path, self.path / _LOCK_FILE):
                    path.unlink(missing_ok=True)
                raise
            shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[IO[str]]:
        lock_path = self.path / _LOCK_FILE
        while True:
            # For this user alone, as Redis lets in whoever reaches its socket.
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                lock = stack.enter_context(lock_path.open("w"))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise MeshAlreadyUp(self.name) from error
                # The owner before may have removed the file between the two calls above.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock.fileno()), lock_path.stat()):
                        yield lock
                        return

    def _clear_leftovers(self) -> None:
        with contextlib.suppress(StateMissing, StateInvalid):
            _end_survivors(read_state(self.state_path))
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK_FILE:
                path.unlink()


def find_mesh(state_dir: Path, name: str | None) -> MeshFolder:
    """Returns the folder of the mesh called `name`; without a name, of the only one that is up.

    Raises:
        MeshNameInvalid: if no mesh can be called `name`.
        MeshUnknown: if none that is up is called `name`.
        StateMissing: if no name is given, and no mesh is up.
        LaunchError: if no name is given, and several are up.
    """
    folders = find_meshes(state_dir, name)
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise LaunchError(f"several meshes are up; choose one with --name: {names}")
    return folders[0]


def find_meshes(state_dir: Path, name: str | None) -> list[MeshFolder]:
    """Returns the folder of the mesh called `name`; without a name, of all that are up.

    Where none is up, one whose launcher was killed is still worth asking about.

    Raises:
        MeshNameInvalid: if no mesh can be called `name`.
        MeshUnknown: if none that is up is called `name`.
        StateMissing: if no name is given, and no mesh is up.
    """
    paths = sorted(state_dir.glob(f"meshes/*/{_STATE_FILE}"))
    up = [path.parent.name for path in paths if not _is_stale(path)]
    if name:
        folder = MeshFolder(state_dir, name)
        if not folder.state_path.exists():
            raise MeshUnknown(name, up)
        return [folder]
    found = up or [path.parent.name for path in paths]
    if not found:
        raise StateMissing(state_dir.absolute() / "meshes" / "*" / _STATE_FILE)
    return [MeshFolder(state_dir, each) for each in found]


def _is_stale(state_path: Path) -> bool:
    try:
        return read_state(state_path).stale
    except (StateMissing, StateInvalid):
        return True


def _end_survivors(state: MeshState) -> None:
    # Only where the kernel does not end children with their parent (see local.lifeline).
    for process in state.processes:
        if process.alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(process.pid).kill()
    for server in filter(None, (state.redis, state.queue_redis)):
        scheme, _, path = server.url.partition("?")[0].partition("://")
        socket_dir = Path(path).parent
        if scheme == "unix" and socket_dir.name.startswith("tailrace-redis-"):
            shutil.rmtree(socket_dir, ignore_errors=True)
