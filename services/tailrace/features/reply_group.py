"""The replies to commands that were sent together: handed over when the last has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class ReplyGroup:
    """Stands in a connection's queue, once per command, where a single command has its future."""

    __slots__ = ("_awaited", "_error", "_kept", "_on_first", "_replies", "_together")

    def __init__(
        self,
        together: asyncio.Future[list[Any]],
        commands: int,
        on_first: Callable[[Any], None] | None = None,
        kept: type[Exception] | None = None,
    ) -> None:
        """Keeps the parts.

        Args:
            together: gets the replies in order, or the first error, once all commands have been
                answered; it may be cancelled before.
            commands: number of commands, one or more.
            on_first: called with the first command's reply, unless it is an error, at the moment
                it is read: before anything that the server sent after it.
            kept: errors of this type stand in their command's place among the replies.
        """
        self._together = together
        self._awaited = commands
        self._on_first = on_first
        self._kept = kept
        self._replies: list[Any] = []
        self._error: Exception | None = None

    def done(self) -> bool:
        """Returns False: replies are taken also where nobody waits for them any more."""
        return False

    def set_result(self, reply: Any) -> None:
        """Takes the next command's reply."""
        on_first, self._on_first = self._on_first, None
        if on_first is not None:
            on_first(reply)
        self._replies.append(reply)
        self._count_down()

    def set_exception(self, error: Exception) -> None:
        """Takes the next command's error."""
        self._on_first = None
        if self._kept is not None and isinstance(error, self._kept):
            self._replies.append(error)
        elif self._error is None:
            self._error = error
        self._count_down()

    def _count_down(self) -> None:
        self._awaited -= 1
        if self._awaited or self._together.done():
            return
        if self._error is not None:
            self._together.set_exception(self._error)
        else:
            self._together.set_result(self._replies)
