"""The receiver as a process that can be killed and started again on the same ports."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tailrace.cli.local.process import ChildProcess
from tests.support.submission_world.receiver import ReceiverConfig
from tests.support.submission_world.temper import TemperSettings

ROOT = Path(__file__).parents[3]


class ReceiverProcess:
    """One receiver.

    Attributes:
        process: the process underneath.
        journal: where it writes what it is sent.
        grpc_port, http_port: where it listens, once it has been ready.
    """

    def __init__(
        self,
        run_dir: Path,
        keys: Mapping[str, Sequence[str]],
        seed: int,
        temper: TemperSettings,
    ) -> None:
        """Describes it; `launch` starts it.

        Args:
            run_dir: for its journal and its log.
            keys: what each endpoint verifies with.
            seed: of its temper; each start has one of its own, made from it.
            temper: how it treats what it is sent.
        """
        self.journal = run_dir / "journal.jsonl"
        self.grpc_port = 0
        self.http_port = 0
        self._run_dir = run_dir
        self._keys = keys
        self._seed = seed
        self._temper = temper
        self._starts = 0
        self._config_file = run_dir / "receiver.config.json"
        self._ready_file = run_dir / "receiver.ready.json"
        self.process = ChildProcess(
            "receiver",
            [
                sys.executable,
                "-m",
                "tests.support.submission_world.receiver",
                str(self._config_file),
            ],
            log_path=run_dir / "receiver.log",
            cwd=ROOT,
        )

    def launch(self) -> None:
        """Starts it and returns at once; from the main thread only."""
        self._ready_file.unlink(missing_ok=True)
        self._starts += 1
        ReceiverConfig(
            journal=str(self.journal),
            ready_file=str(self._ready_file),
            grpc_port=self.grpc_port,
            http_port=self.http_port,
            seed=self._seed * 1000 + self._starts,
            temper=asdict(self._temper),
            keys=self._keys,
        ).write(self._config_file)
        self.process.start()

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Returns once it listens; blocks, on any thread."""
        ready = self.process.wait_until(
            self._read_ready_file, timeout_s=timeout_s, waiting_for=str(self._ready_file)
        )
        self.grpc_port, self.http_port = ready["grpc_port"], ready["http_port"]

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        self.process.kill()

    def _read_ready_file(self) -> dict[str, Any] | None:
        if not self._ready_file.exists():
            return None
        ready: dict[str, Any] = json.loads(self._ready_file.read_bytes())
        return ready if ready["pid"] == self.process.pid else None
