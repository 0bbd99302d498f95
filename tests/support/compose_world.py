"""The services of the compose file as processes of this machine.

Each runs the very command line and environment of its container. What a container has and a process
has not is put in: host names with ports become addresses on loopback, a folder of the container
becomes one of this machine, and ports are free ones.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tailrace.cli.local.local_redis import find_redis_server
from tailrace.cli.local.process import ChildProcess
from tests.support.compose_file import ROOT, ComposeService, load_services
from tests.support.waiting import wait_for

_READY_TIMEOUT_S = 60.0
_REDIS_URL = re.compile(r"redis://:(?P<password>[^@]+)@(?P<host>[\w-]+):6379/0")
_PLACE = re.compile(r"(?<![\w/.])/(?:example|prepared|tmp)(?=[/\s]|$)")
_TARGET = re.compile(r"(?:dns:///)?\b(?P<host>[a-z-]+):(?P<port>\d{5})\b")


class ComposeWorld:
    """Starts services of the compose file, one by one.

    Attributes:
        services: what the file says, by name.
        processes: those that were started, in that order.
        ports: the gRPC port of each of ours that serves.
    """

    def __init__(self, folder: Path, prepared: Path) -> None:
        """Starts nothing.

        Args:
            folder: for logs, data and temporary files.
            prepared: stands for the volume of prepared examples.
        """
        self.services = load_services()
        self.processes: dict[str, ChildProcess] = {}
        self.ports: dict[str, int] = {}
        self._folder = folder
        self._prepared = prepared

    def launch(self, names: Sequence[str]) -> None:
        """Starts services that run on; `wait_healthy` says when they serve."""
        for name in names:
            self._launch(self.services[name])

    def wait_healthy(self, names: Sequence[str]) -> None:
        """Returns once each service is healthy, by its own health check."""
        for name in names:
            self._wait_healthy(name)

    def run(self, name: str) -> str:
        """Returns what a service that ends by itself has written; it has to end well."""
        process = self._launch(self.services[name])
        status = process.wait(_READY_TIMEOUT_S * 5)
        output = process.log_text()
        assert status == 0, output
        return output

    def is_healthy(self, name: str) -> bool:
        """Runs the health check of a service, and returns whether it succeeds."""
        service = self.services[name]
        environment = self._environment(service)
        if name in self.ports:
            environment["TAILRACE_PORT"] = str(self.ports[name])
        argv = self._words(service, service.health_argv)
        log = self._folder / f"{name}.health.log"
        check = ChildProcess(f"{name} health", _env_command(environment, argv), log_path=log)
        check.start()
        return check.wait(_READY_TIMEOUT_S) == 0

    def stop(self, name: str) -> int | None:
        """Sends SIGTERM; returns the exit status, or None if the grace period was not enough."""
        process = self.processes[name]
        process.signal(signal.SIGTERM)
        return process.wait(self.services[name].stop_grace_s)

    def kill(self) -> None:
        """Ends all that still runs, at once."""
        for process in self.processes.values():
            process.kill()

    def socket(self, name: str) -> Path:
        """Returns where a Redis of this world listens, in place of a port."""
        return self._folder / f"{name}.sock"

    def _wait_healthy(self, name: str) -> None:
        ready_file = self._folder / f"{name}.ready.json"
        if self.services[name].ours:
            ready = self.processes[name].wait_until(
                lambda: json.loads(ready_file.read_text()) if ready_file.is_file() else None,
                timeout_s=_READY_TIMEOUT_S,
                waiting_for=str(ready_file),
            )
            self.ports[name] = ready["port"]
        wait_for(lambda: self.is_healthy(name), _READY_TIMEOUT_S)

    def _launch(self, service: ComposeService) -> ChildProcess:
        log = self._folder / f"{service.name}.log"
        command = _env_command(self._environment(service), self._words(service, service.argv))
        process = ChildProcess(service.name, command, log_path=log, cwd=self._folder)
        self.processes[service.name] = process
        process.start()
        return process

    def _environment(self, service: ComposeService) -> dict[str, str]:
        bin_dirs = [Path(sys.executable).parent, find_redis_server().parent]
        inherited = os.environ.get("PATH", "/usr/bin:/bin")
        environment = {"PATH": os.pathsep.join([*map(str, bin_dirs), inherited])}
        for name, value in service.environment.items():
            environment[name] = self._place(value)
        if service.ours and service.argv[1:2] == ["serve"]:
            environment |= {
                "TAILRACE_HOST": "127.0.0.1",
                "TAILRACE_PORT": "0",
                "TAILRACE_METRICS_PORT": "0",
                "TAILRACE_READY_FILE": str(self._folder / f"{service.name}.ready.json"),
            }
        return environment

    def _words(self, service: ComposeService, argv: list[str]) -> list[str]:
        words = [self._place(word) for word in argv]
        if service.name.startswith("redis"):
            socket, data = str(self.socket(service.name)), self._folder / f"{service.name}-data"
            data.mkdir(exist_ok=True)
            if words[0] == "redis-server":
                words[words.index("6379")] = "0"
                words[words.index("/data")] = str(data)
                return [*words, "--unixsocket", socket]
            return [word.replace("-p 6379", f"-s {socket}") for word in words]
        return words

    def _place(self, text: str) -> str:
        """Returns a word of a command or a value of a variable as it is on this machine."""
        redis = _REDIS_URL.fullmatch(text)
        if redis:
            return f"unix://{self.socket(redis['host'])}?db=0&password={redis['password']}"

        def address(match: re.Match[str]) -> str:
            port = self.ports.get(match["host"])
            return match[0] if port is None else f"127.0.0.1:{port}"

        text = _TARGET.sub(address, text)
        places = {
            "/example": ROOT / "examples" / "flights",
            "/prepared": self._prepared,
            "/tmp": self._folder,
        }
        # All at once: what one becomes may begin with another.
        return _PLACE.sub(lambda match: str(places[match[0]]), text)


def _env_command(environment: dict[str, str], argv: list[str]) -> list[str]:
    """Returns the command with this environment and no other."""
    return [
        "/usr/bin/env",
        "-i",
        *(f"{name}={value}" for name, value in environment.items()),
        *argv,
    ]
