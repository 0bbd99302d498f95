"""A test that is alone, and others, in processes of their own."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from tests.support.alone import Room
from tests.support.waiting import wait_for


class Guest:
    """A thread that enters a room of its own locks, and stays until it is told to leave."""

    def __init__(self, folder: Path, *, alone: bool) -> None:
        self.is_in = threading.Event()
        self.may_leave = threading.Event()
        self._room = Room(folder)
        self._alone = alone
        self._thread = threading.Thread(target=self._visit)
        self._thread.start()

    def leave(self) -> None:
        self.may_leave.set()
        self._thread.join(10)
        self._room.close()

    def _visit(self) -> None:
        with self._room.entered(alone=self._alone):
            self.is_in.set()
            self.may_leave.wait(30)


def test_several_are_in_together(tmp_path: Path) -> None:
    guests = [Guest(tmp_path, alone=False) for _ in range(3)]
    assert all(guest.is_in.wait(10) for guest in guests)
    for guest in guests:
        guest.leave()


@pytest.mark.parametrize("alone", [False, True])
def test_nobody_is_in_beside_one_that_is_alone(tmp_path: Path, alone: bool) -> None:
    first = Guest(tmp_path, alone=True)
    assert first.is_in.wait(10)
    second = Guest(tmp_path, alone=alone)
    assert not second.is_in.wait(0.1)
    first.leave()
    assert second.is_in.wait(10)
    second.leave()


def test_one_that_waits_to_be_alone_is_let_in_before_those_that_come_later(tmp_path: Path) -> None:
    first = Guest(tmp_path, alone=False)
    assert first.is_in.wait(10)
    alone = Guest(tmp_path, alone=True)
    wait_for(lambda: _is_shut(tmp_path))
    later = Guest(tmp_path, alone=False)
    first.leave()
    assert alone.is_in.wait(10)
    assert not later.is_in.is_set()
    alone.leave()
    assert later.is_in.wait(10)
    later.leave()


def test_a_test_that_fails_makes_room(tmp_path: Path) -> None:
    room = Room(tmp_path)
    with pytest.raises(ValueError), room.entered(alone=True):
        raise ValueError
    guest = Guest(tmp_path, alone=True)
    assert guest.is_in.wait(10)
    guest.leave()
    room.close()


def _is_shut(folder: Path) -> bool:
    """Returns whether somebody waits behind the door."""
    with (folder / "door.lock").open("w") as door:
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
