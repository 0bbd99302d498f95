"""Runs real Feast in a process of its own, by the Python of its own environment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-feast" / "bin" / "python"
_PROGRAM = Path(__file__).with_name("feast_program.py")


class FeastFailed(Exception):
    """Feast raised an error; the text is its traceback."""


class FeastProcess:
    """A Feast that does what it is told; see `feast_program`."""

    def __init__(self, log: Path) -> None:
        """Starts it; what Feast prints goes to `log`."""
        if not PYTHON.exists():
            pytest.fail(f"there is no {PYTHON.relative_to(ROOT)}: make it with `make feast`")
        with log.open("w") as output:
            self._process = subprocess.Popen(
                # -P: Feast must not find the modules beside the program.
                [PYTHON, "-P", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        self._log = log
        try:
            self.version: str = self.ask("version")
        except FeastFailed:
            self.stop()
            raise

    def ask(self, method: str, **arguments: Any) -> Any:
        """Returns what a method of `feast_program.Program` returns.

        Raises:
            FeastFailed: it raised an error, or the process ended.
        """
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"method": method, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise FeastFailed(f"the process ended: {self._log.read_text()[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise FeastFailed(answer["error"])
        return answer["result"]

    def open(self, folder: Path, url: str, project: str = "shop") -> None:
        """Opens a new repository whose online store is the Redis at `url`."""
        folder.mkdir()
        self.ask("open", folder=str(folder), project=project, connection=connection_string(url))

    def stop(self) -> None:
        """Ends the process."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


def connection_string(url: str) -> str:
    """Returns a Redis URL as Feast writes them."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"localhost:0,unix_socket_path={parts.path}"
    return f"{parts.hostname}:{parts.port}"


@pytest.fixture(scope="session")
def feast_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeastProcess]:
    """A running Feast that all tests share, in Redis servers of their own."""
    process = FeastProcess(tmp_path_factory.mktemp("feast") / "feast.log")
    yield process
    process.stop()
