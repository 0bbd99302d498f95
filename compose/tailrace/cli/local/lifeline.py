"""Ties a process to the life of its parent, then becomes the command it was given.

Run as a script, by a bare interpreter, between the launcher and every server it starts:

    python -I -S lifeline.py PARENT_PID SIGNAL COMMAND...

It asks the kernel to send SIGNAL when the parent dies, by whatever cause, and replaces
itself with COMMAND, so the process id stays. A `preexec_fn` would do the same without a
second interpreter, yet it makes `subprocess` fork instead of vfork, and a fork in a process
that has gRPC's threads can hang. Source: prctl(2), PR_SET_PDEATHSIG. Elsewhere than on
Linux there is no such call, and the command runs untied.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def tied(command: Sequence[str], death_signal: signal.Signals = signal.SIGKILL) -> list[str]:
    """Returns the command that runs `command` tied to the life of this process.

    Start it from the main thread: the kernel sends the signal when the *thread* ends that
    started the process.
    """
    return [
        sys.executable,
        "-I",
        "-S",
        __file__,
        str(os.getpid()),
        str(int(death_signal)),
        *command,
    ]


def main(arguments: list[str]) -> None:
    """Ties this process to its parent and becomes the command; does not return."""
    parent_pid, death_signal, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        # The parent may have died before the call above; then no signal would ever come.
        if os.getppid() != parent_pid:
            sys.exit(f"the parent, pid {parent_pid}, is gone")
    # The interpreter ignores these two, and what is ignored stays so across exec.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
