"""Runs the plain chain's five processes on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tailrace.cli.local.process import ChildProcess
from tailrace.loadtest.bench.plain_chain.__main__ import HOPS


class PlainMesh:
    """The baseline's processes, beside a Redis and a Triton that others run."""

    def __init__(
        self,
        run_dir: Path,
        pipelines: Path,
        redis_url: str,
        triton: str,
        *,
        name: str = "plain",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Describes the processes; `start` starts them.

        Args:
            run_dir: folder for logs and ready files.
            pipelines: folder of the pipeline that it answers.
            redis_url: where the plain feature rows are.
            triton: gRPC target of Triton.
            name: what its processes are called, before the hop's name.
            env: more of their environment.
        """
        self._run_dir = run_dir
        self._name = name
        self._env = env
        self._common = [
            f"--pipelines={pipelines}", f"--redis-url={redis_url}", f"--triton={triton}",
        ]  # fmt: skip
        self.processes: dict[str, ChildProcess] = {}
        self.target = ""

    def start(self) -> None:
        """Starts all five and returns once they listen."""
        targets = {hop: self._start(hop, []) for hop in HOPS}
        options = [f"--target={hop}={target}" for hop, target in targets.items()]
        self.target = self._start("gateway", options)

    def stop(self) -> None:
        """Ends all five."""
        for process in self.processes.values():
            process.stop(2.0)

    def _start(self, hop: str, options: list[str]) -> str:
        ready_file = self._run_dir / f"{self._name}-{hop}.ready"
        ready_file.unlink(missing_ok=True)
        process = ChildProcess(
            f"{self._name} {hop}",
            [
                sys.executable, "-m", "tailrace.loadtest.bench.plain_chain", hop, *self._common,
                f"--ready-file={ready_file}", *options,
            ],
            log_path=self._run_dir / f"{self._name}-{hop}.log",
            env=self._env,
        )  # fmt: skip
        self.processes[hop] = process
        process.start()

        def read_port() -> str | None:
            return ready_file.read_text() if ready_file.exists() else None

        port = process.wait_until(read_port, timeout_s=20.0, waiting_for=str(ready_file))
        return f"127.0.0.1:{port}"
