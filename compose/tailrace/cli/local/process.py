"""One child process: started, watched, stopped, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tailrace.cli.local.errors import NotReady, ProcessExited
from tailrace.cli.local.lifeline import tied

POLL_INTERVAL_S = 0.02
_TAIL_BYTES = 32 * 1024
# What an error is told: many lines, as those that tell what happened are picked from them.
_EXPLAINING_LINES = 200

_Found = TypeVar("_Found")


class ChildProcess:
    """A server in a process group of its own, with its output in a log file.

    It dies with this process, however this one ends (on Linux; see `lifeline`), and takes
    along whatever it started itself.

    Attributes:
        name: what to call it in messages.
        log_path: where its standard output and error go, appended.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        parent_death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Describes the process; `start` starts it.

        Args:
            name: what to call it in messages.
            command: program and arguments.
            log_path: file for its output; its folder exists.
            env: variables beside those of this process.
            cwd: working folder; this process's own by default.
            parent_death_signal: what the process gets when this one dies.
        """
        self.name = name
        self.log_path = log_path
        self._command = list(command)
        self._env = dict(env or {})
        self._cwd = cwd
        self._parent_death_signal = parent_death_signal
        self._popen: subprocess.Popen[bytes] | None = None
        self._group_cleared = False
        self._log_start = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Starts the process and returns at once.

        Must be called from the main thread: the kernel sends the parent-death signal when
        the *thread* ends that started the child.

        Raises:
            RuntimeError: if called from another thread, or while the process runs.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{self.name} must be started from the main thread")
        if self.running:
            raise RuntimeError(f"{self.name} is already running")
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._popen = subprocess.Popen(
                tied(self._command, self._parent_death_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Handed on, not read: the child reads its settings itself.
                env={**os.environ, **self._env},
                cwd=self._cwd,
                start_new_session=True,
            )
        self._group_cleared = False

    @property
    def pid(self) -> int:
        """Process id of the current or last run; also the id of its process group."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """True from `start` until the process has ended."""
        return self._popen is not None and self.exit_status is None

    @property
    def exit_status(self) -> int | None:
        """Exit code, minus the signal's number if one ended it, or None while it runs."""
        with self._lock:
            status = self._started().poll()
            if status is not None:
                self._clear_group()
            return status

    def wait_until(
        self, probe: Callable[[], _Found | None], *, timeout_s: float, waiting_for: str
    ) -> _Found:
        """Returns what `probe` returns, once that is neither None nor false.

        Blocks; may run on any thread, and ends soon when another one stops the process.

        Args:
            probe: the condition; called every 20 ms, so it must be quick.
            timeout_s: how long to wait, in seconds.
            waiting_for: the condition in words, for the error.

        Raises:
            ProcessExited: if the process ends first.
            NotReady: if the time is over first.
        """
        give_up_at = time.monotonic() + timeout_s
        while True:
            self.check()
            found = probe()
            if found:
                return found
            if time.monotonic() >= give_up_at:
                raise NotReady(
                    self.name,
                    waiting_for=waiting_for,
                    timeout_s=timeout_s,
                    log_path=self.log_path,
                    last_lines=self.last_log_lines(_EXPLAINING_LINES),
                )
            time.sleep(POLL_INTERVAL_S)

    def check(self) -> None:
        """Returns if the process runs.

        Raises:
            ProcessExited: if it has ended.
        """
        status = self.exit_status
        if status is not None:
            raise ProcessExited(
                self.name,
                exit_status=status,
                log_path=self.log_path,
                last_lines=self.last_log_lines(_EXPLAINING_LINES),
            )

    def wait(self, timeout_s: float) -> int | None:
        """Returns the exit status, or None if the process still runs after `timeout_s` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._started().wait(timeout_s)
        return self.exit_status

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process alone, not to its group; nothing if it has ended."""
        if self.running:
            self._started().send_signal(number)

    def stop(self, grace_s: float = 10.0) -> None:
        """Ends the process and its group, and returns once the process is gone.

        SIGTERM to the process; what remains of the group after `grace_s` seconds, or after
        the process has ended, gets SIGKILL. Does nothing if it never ran.
        """
        if self._popen is None:
            return
        self.signal(signal.SIGTERM)
        if self.wait(grace_s) is None:
            self.kill()

    def kill(self) -> None:
        """Ends the process and its group with SIGKILL, and returns once the process is gone."""
        if self.running:
            with self._lock:
                self._clear_group()
            self._started().wait()

    def log_text(self) -> str:
        """Returns what the process has written since it was last started."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def last_log_lines(self, count: int = 20) -> list[str]:
        """Returns the last lines that the current or last run wrote, at most `count`."""
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            start = log.seek(max(self._log_start, size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
            if start > self._log_start and len(lines) > 1:
                # The first one may have begun before.
                del lines[0]
            return lines[-count:]

    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._popen

    def _clear_group(self) -> None:
        # Once only, and in the same breath in which the process is reaped: later the
        # kernel may have given the id to somebody else.
        if self._group_cleared:
            return
        self._group_cleared = True
        # A group that holds nothing but a zombie answers EPERM on macOS.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._started().pid, signal.SIGKILL)
