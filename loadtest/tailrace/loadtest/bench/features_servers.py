"""What `make bench-features` starts: Redis, services, and processes that look up and send."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.cli.local.mesh_process import MeshProcess
from tailrace.loadtest.bench.features_data import EVENT_ENTITIES, PREFIX, SMALL
from tailrace.loadtest.bench.generators import EXPERIMENTS

_FEAST = Path(__file__).with_name("features_feast.py")


class Worker:
    """A process that carries out orders, one line each, and uses no CPU between them.

    Attributes:
        pid: its process id.
        greeting: its first line.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        """Starts it, and returns once it is ready; what it complains of goes to `log`."""
        settings = [f"{key}={value}" for key, value in EXPERIMENTS.items()]
        self._name = name
        self._log = log
        with log.open("w") as errors:
            # It ends by itself once nobody holds the other end of its input.
            self._process = subprocess.Popen(
                ["env", *settings, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.pid = self._process.pid
        self.greeting = self.answer()

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the answer to an order. Raises RuntimeError if the process has ended."""
        self.tell(order)
        return self.answer()

    def tell(self, order: Mapping[str, Any]) -> None:
        """Hands over an order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Returns the next answer. Raises RuntimeError if the process has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            said = self._log.read_text().strip().splitlines()[-8:]
            raise RuntimeError(f"{self._name} ended with status {status}:\n" + "\n".join(said))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()


class FeatureServers:
    """All processes of the benchmark.

    Attributes:
        large: Redis with all entities, in our form and in Feast's.
        small: Redis with few entities, and the windowed view; it logs its writes.
    """

    def __init__(self, folder: Path, pipelines: Path, feast_python: Path | None) -> None:
        """Describes them.

        Args:
            folder: for logs and whatever they keep.
            pipelines: the pipeline files.
            feast_python: of the environment that has Feast; None leaves it out.
        """
        self._folder = folder
        self._pipelines = pipelines
        self._feast_python = feast_python
        data = folder / "small"
        data.mkdir(mode=0o700)
        self.large = LocalRedis(log_path=folder / "large.log")
        self.small = LocalRedis(
            log_path=folder / "small.log", data_dir=data, append_only=True, name="small redis"
        )
        self._services: dict[str, MeshProcess] = {}
        self._workers: dict[str, Worker] = {}

    def start_redis(self) -> None:
        """Returns once both Redis answer."""
        self.large.start()
        self.small.start()

    def start_feast(self, name: str, table: Path, parquet: Path) -> Worker:
        """Returns a process with Feast in it."""
        assert self._feast_python is not None
        socket = str(self.large.socket_path)
        command = [str(self._feast_python), str(_FEAST), name, socket]
        command += [str(table), str(parquet), str(self._folder)]
        return self._worker(name, command)

    def start_services(self) -> None:
        """Returns once the services listen, each with the settings that it comes with."""
        for name, server in (("features", self.large), ("events", self.small)):
            settings = {
                "TAILRACE_PIPELINES_DIR": str(self._pipelines),
                "TAILRACE_FEATURE_REDIS_URL": server.url,
                "TAILRACE_FEATURE_KEY_PREFIX": PREFIX,
            }
            process = MeshProcess(name, run_dir=self._folder, settings=settings)
            self._services[name] = process
            process.start()

    def start_clients(self, table: Path) -> tuple[Worker, Worker]:
        """Returns the process that looks up and the one that sends events."""
        places = {
            "table": str(table),
            "pipelines": str(self._pipelines),
            "large": self.large.url,
            "small": self.small.url,
            "small_entities": SMALL,
            "event_entities": EVENT_ENTITIES,
            "features": self._services["features"].target,
            "events": self._services["events"].target,
        }
        (self._folder / "lookups.json").write_text(json.dumps(places))
        module = "tailrace.loadtest.bench.features_"
        lookups = [sys.executable, "-m", f"{module}lookups", str(self._folder)]
        sender = [sys.executable, "-m", f"{module}sender", self._services["events"].target]
        return self._worker("lookups", lookups), self._worker("sender", sender)

    def pids(self) -> dict[str, list[int]]:
        """Returns the ids of all processes by name."""
        found = {"redis": [self.large.process.pid], "small redis": [self.small.process.pid]}
        for name, process in self._services.items():
            found[name] = [process.process.pid]
        for name, worker in self._workers.items():
            found[name] = [worker.pid]
        return found

    def stop(self) -> None:
        """Ends them all."""
        for worker in self._workers.values():
            worker.stop()
        for process in self._services.values():
            process.stop()
        self.small.stop()
        self.large.stop()

    def _worker(self, name: str, command: Sequence[str]) -> Worker:
        worker = Worker(name, command, self._folder / f"{name}.log")
        self._workers[name] = worker
        return worker
