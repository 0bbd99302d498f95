"""The queue's Redis: killed, or cut back to what was on disk, and started again at its address."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Literal

from tailrace.cli.local.local_redis import LocalRedis, find_redis_server
from tailrace.cli.local.process import ChildProcess
from tests.support.waiting import wait_for

_SHIM_SOURCE = Path(__file__).parent / "synced_size.c"
_SCRIPT = """#!/bin/sh
LD_PRELOAD={shim} SYNCED_SIZE_FILE={note} exec {server} "$@"
"""
# A command whose end never came.
_TORN = b"*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$100\r\nhalf"


def can_end_machines() -> bool:
    """Returns whether `end_machine` works here: it needs Linux and a C compiler."""
    return os.uname().sysname == "Linux" and shutil.which("cc") is not None


class QueueRedis:
    """A Redis with an append-only log, on a Unix socket.

    Attributes:
        server: the server underneath.
    """

    def __init__(
        self, run_dir: Path, append_fsync: Literal["always", "everysec"], *, notes_syncs: bool
    ) -> None:
        """Describes it; `server.start` starts it.

        Args:
            run_dir: for its log and its data, of which both outlive it.
            append_fsync: when its log is synced to disk.
            notes_syncs: whether it notes how much of its log has been synced, as `end_machine`
                needs.
        """
        data_dir = run_dir / "queue"
        data_dir.mkdir()
        self._log_file = data_dir / "appendonly.aof"
        self._note = run_dir / "synced_size"
        self.server = LocalRedis(
            log_path=run_dir / "queue-redis.log",
            server_path=self._noting_server(run_dir) if notes_syncs else None,
            data_dir=data_dir,
            append_only=True,
            append_fsync=append_fsync,
            name="queue-redis",
        )

    @property
    def process(self) -> ChildProcess:
        """The process underneath."""
        return self.server.process

    def launch(self) -> None:
        """Starts it and returns at once; from the main thread only."""
        self.server.launch()

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Returns once it answers; blocks, on any thread."""
        self.server.wait_ready(timeout_s)

    def kill(self) -> None:
        """Ends it with SIGKILL: what it has written to its log stays, as the kernel has it."""
        self.server.kill()

    def tear(self) -> None:
        """Ends it with SIGKILL, and leaves half a command at the end of its log."""
        self.server.kill()
        # The server may have died within a command; its log does not go on after that.
        if self._log_file.read_bytes().endswith(b"\r\n"):
            with self._log_file.open("ab") as file:
                file.write(_TORN)

    def end_machine(self) -> float:
        """Ends it as the end of its machine would: what was not synced to disk is gone.

        Returns:
            When it ended, by `time.monotonic`.
        """
        self.server.kill()
        ended_at = time.monotonic()
        os.truncate(self._log_file, min(self.synced_bytes(), self.logged_bytes()))
        return ended_at

    def logged_bytes(self) -> int:
        """Returns how much there is in its log, be it on disk or not."""
        return self._log_file.stat().st_size

    def synced_bytes(self) -> int:
        """Returns how much of its log is known to be on disk; it may be more than there is now."""
        return int.from_bytes(self._note.read_bytes(), "little") if self._note.exists() else 0

    def wait_synced(self, timeout_s: float = 10.0) -> None:
        """Returns once all that is in its log now is on disk; blocks, on any thread."""
        written = self.logged_bytes()
        wait_for(lambda: self.synced_bytes() >= written, timeout_s)

    def _noting_server(self, run_dir: Path) -> Path:
        shim = run_dir / "synced_size.so"
        command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(shim), str(_SHIM_SOURCE), "-ldl"]
        subprocess.run(command, check=True, timeout=60)
        script = run_dir / "redis-server"
        script.write_text(
            _SCRIPT.format(shim=shim, note=self._note, server=find_redis_server().absolute())
        )
        script.chmod(0o700)
        return script
