"""A command that is the first process of a container ends on SIGTERM, whatever it is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import wait_for

# A PID namespace of its own; as another user than root, in a user namespace of its own, too.
UNSHARE = ["unshare", "--pid", "--fork", "--kill-child"]
if os.getuid() != 0:
    UNSHARE.append("--map-root-user")


def test_a_first_process_ends_on_sigterm_before_it_serves(tmp_path: Path) -> None:
    allowed = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    if allowed.returncode != 0:
        pytest.skip(f"no PID namespaces here: {allowed.stderr.strip()}")
    fifo = tmp_path / "flights.ndjson"
    os.mkfifo(fifo)
    # Waits for whoever writes to the file, which nobody does.
    command = [sys.executable, "-m", "tailrace.cli", "predict", "x", "--file", str(fifo)]
    outer = subprocess.Popen([*UNSHARE, *command, "--target", "127.0.0.1:1"])
    try:
        wait_for(lambda: bool(psutil.Process(outer.pid).children()))
        first = psutil.Process(outer.pid).children()[0]
        # Python's own handler is for SIGINT: ours is there once SIGTERM is caught, too.
        wait_for(lambda: catches(first.pid, signal.SIGTERM), 30)
        first.send_signal(signal.SIGTERM)
        assert outer.wait(20) == 143
    finally:
        outer.kill()
        outer.wait()


def catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)
