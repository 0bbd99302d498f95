"""Tests that need the machine for themselves, where several processes run tests at once.

A test of how long things take is marked `alone`: while it runs, no other process of the same run
does any test. What these processes keep running for their tests is idle then.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Room:
    """What the tests of all processes go through: several at once, or one that is alone."""

    def __init__(self, folder: Path) -> None:
        """Opens its locks, which are files in a folder that the processes share."""
        folder.mkdir(parents=True, exist_ok=True)
        self._door = (folder / "door.lock").open("w")
        self._room = (folder / "room.lock").open("w")

    @contextmanager
    def entered(self, *, alone: bool) -> Iterator[None]:
        """Waits until there is room, and holds it until the body is left."""
        try:
            # Who waits to be alone holds the door shut, else the others might never all be out.
            fcntl.flock(self._door, fcntl.LOCK_EX)
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            fcntl.flock(self._door, fcntl.LOCK_UN)
            yield
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
            fcntl.flock(self._room, fcntl.LOCK_UN)

    def close(self) -> None:
        """Closes the files."""
        self._door.close()
        self._room.close()


_ROOM = pytest.StashKey[Room]()


def pytest_configure(config: pytest.Config) -> None:
    """Opens the room, in a worker of pytest-xdist."""
    if hasattr(config, "workerinput"):
        # Each worker has a folder of its own in the folder of the run.
        room = Room(Path(config.getoption("basetemp")).parent / "room")
        config.stash[_ROOM] = room
        config.add_cleanup(room.close)


# Outside of all others, so that waiting is no part of a test's time.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Runs a test beside those of other workers, or alone; without workers, as it comes."""
    room = item.config.stash.get(_ROOM, None)
    if room is None:
        return (yield)
    with room.entered(alone=item.get_closest_marker("alone") is not None):
        return (yield)
