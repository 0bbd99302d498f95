"""What is settled before gRPC is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
import tailrace.cli.main
tailrace.cli.main.main = lambda: print(os.environ.get("GRPC_EXPERIMENTS"), "grpc" in sys.modules)
sys.argv = ["tailrace", {command!r}]
from tailrace.cli.entry import main
main()
"""


def _experiments(command: str, **environment: str) -> str:
    inherited = {name: os.environ[name] for name in os.environ if name != "GRPC_EXPERIMENTS"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(command=command)],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("command", "environment", "expected"),
    [
        ("serve", {}, "-event_engine_client,-event_engine_listener False"),
        ("serve", {"GRPC_EXPERIMENTS": "tcp_frame_size_tuning"}, "tcp_frame_size_tuning False"),
        ("up", {}, "None False"),
    ],
)
def test_servers_choose_how_grpc_polls_before_it_is_imported(
    command: str, environment: dict[str, str], expected: str
) -> None:
    assert _experiments(command, **environment) == expected


INTERRUPTED = """
import os, signal, sys
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "tailrace.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, CtrlC())
from tailrace.cli.entry import main
main()
"""


def test_ctrl_c_while_modules_are_imported_ends_without_a_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")
