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
