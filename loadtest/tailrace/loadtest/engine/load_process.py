"""A process that makes load, as its parent has it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import Any

from tailrace.loadtest.engine.messages import LENGTH, Failed, packed, unpacked
from tailrace.loadtest.load_error import LoadError

_WORDS_BYTES = 2000


class EndedProcess(LoadError):
    """A process has ended that was not to.

    Attributes:
        name: which, such as `load process 1 of 2 (pid 4711)`.
        how: how it ended, such as `was killed by SIGKILL`.
    """

    def __init__(self, name: str, how: str, why: str) -> None:
        super().__init__(f"{name} {how}", why)
        self.name, self.how = name, how


class LoadProcess:
    """One of the processes of a run; see `start`."""

    def __init__(self, name: str, process: Process) -> None:
        """Takes a process that was started.

        Args:
            name: what errors call it, such as `load process 1 of 2`.
            process: with pipes for standard input, output and error.
        """
        assert process.stdin and process.stdout and process.stderr
        self._name, self._process = name, process
        self._in, self._out = process.stdin, process.stdout
        self._last_words = bytearray()
        self._listening = asyncio.create_task(self._listen(process.stderr))

    @classmethod
    async def start(cls, name: str, inherited: Sequence[int] = ()) -> LoadProcess:
        """Returns a new process, which waits for its order.

        It is not in the terminal's foreground: an interrupt is for the parent, who tells it.

        Args:
            name: what errors call it.
            inherited: descriptors that it has, too, under the same numbers.
        """
        command = [sys.executable, "-m", "tailrace.loadtest.engine.worker", str(os.getpid())]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            pass_fds=inherited,
        )
        return cls(name, process)

    def tell(self, message: object) -> None:
        """Sends a message."""
        self._in.write(packed(message))

    async def receive(self) -> Any:
        """Waits for a message.

        Raises:
            LoadError: what the process found that the user has to change.
            EndedProcess: it has ended.
        """
        try:
            head = await self._out.readexactly(LENGTH.size)
            body = await self._out.readexactly(LENGTH.unpack(head)[0])
        except asyncio.IncompleteReadError:
            raise await self._ended() from None
        message = unpacked(body)
        if isinstance(message, Failed):
            raise LoadError(message.problem, message.hint)
        return message

    async def close(self) -> None:
        """Ends the process, by force if it has not ended, and waits until it is gone."""
        if self._process.returncode is None:
            try:
                # Its own `kill` would reap it, if it has just ended, before the loop does.
                os.kill(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        await self._process.wait()
        await self._listening
        self._in.close()

    async def _ended(self) -> EndedProcess:
        status = await self._process.wait()
        await self._listening
        how = f"ended with status {status}"
        if status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        hint = "the machine may be out of memory" if status == -signal.SIGKILL else ""
        words = self._last_words.decode(errors="replace").strip().rpartition("\n")[2]
        return EndedProcess(f"{self._name} (pid {self._process.pid})", how, words or hint)

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        while chunk := await stderr.read(1 << 16):
            self._last_words += chunk
            del self._last_words[:-_WORDS_BYTES]
