"""Waits for sockets, to within microseconds."""

from __future__ import annotations

import select
from typing import Generic, TypeVar

T = TypeVar("T")

# select(2) takes no more, and looks at each socket each time.
_SELECT_FDS = 1024
_SELECT_COUNT = 32


class Poller(Generic[T]):
    """Sockets and whom they belong to.

    A few are waited for with select, whose timeout has microseconds where poll and epoll have
    milliseconds. Many, or such with large numbers, are in an epoll, and select waits for that.
    """

    def __init__(self) -> None:
        self._owners: dict[int, T] = {}
        self._reads: list[int] = []
        self._writes: list[int] = []
        self._epoll: select.epoll | None = None

    def add(self, fd: int, owner: T) -> None:
        """Waits until there is something to read, from here on."""
        self._owners[fd] = owner
        self._reads.append(fd)
        if self._epoll is not None:
            self._epoll.register(fd, select.EPOLLIN)
        elif fd >= _SELECT_FDS or len(self._reads) > _SELECT_COUNT:
            self._to_epoll()

    def watch_writes(self, fd: int, *, wanted: bool) -> None:
        """Waits until there is room to write, too, or no longer."""
        if wanted == (fd in self._writes):
            return
        if wanted:
            self._writes.append(fd)
        else:
            self._writes.remove(fd)
        if self._epoll is not None:
            self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def remove(self, fd: int) -> None:
        """Forgets a socket, before it is closed."""
        if self._owners.pop(fd, None) is None:
            return
        self._reads.remove(fd)
        if fd in self._writes:
            self._writes.remove(fd)
        if self._epoll is not None:
            self._epoll.unregister(fd)

    def wait(self, seconds: float) -> tuple[list[T], list[T]]:
        """Waits for any of the sockets.

        Returns:
            Those that there is something to read from, and those that there is room in.
        """
        if self._epoll is not None:
            return self._wait_epoll(seconds)
        owners = self._owners
        readable, writable, _ = select.select(self._reads, self._writes, (), seconds)
        return [owners[fd] for fd in readable], [owners[fd] for fd in writable]

    def close(self) -> None:
        """Forgets all."""
        self._owners.clear()
        self._reads.clear()
        self._writes.clear()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None

    def _wait_epoll(self, seconds: float) -> tuple[list[T], list[T]]:
        assert self._epoll is not None
        if seconds > 0:
            select.select((self._epoll.fileno(),), (), (), seconds)
        owners = self._owners
        events = self._epoll.poll(0)
        return (
            [owners[fd] for fd, event in events if event & ~select.EPOLLOUT],
            [owners[fd] for fd, event in events if event & select.EPOLLOUT],
        )

    def _to_epoll(self) -> None:
        # It is small enough a number for select as long as it is not the last one that is made.
        self._epoll = select.epoll()
        for fd in self._reads:
            writes = select.EPOLLOUT if fd in self._writes else 0
            self._epoll.register(fd, select.EPOLLIN | writes)
