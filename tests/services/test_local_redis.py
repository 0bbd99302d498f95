"""The local Redis: a real one, private, and never a silently shared one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tailrace.cli.local.errors import PortInUse, ServerMissing
from tailrace.cli.local.local_redis import LocalRedis, find_redis_server
from tailrace.cli.local.ports import listening_ports
from tests.support.redis_fixtures import StartRedis
from tests.support.waiting import is_gone, wait_for


def connect(server: LocalRedis) -> redis.Redis:
    """Returns a client of the server that decodes replies to strings."""
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_default_server_listens_on_a_private_socket_alone(start_redis: StartRedis) -> None:
    server = start_redis()
    assert server.socket_path is not None
    assert server.socket_path.is_socket()
    assert server.socket_path.parent.stat().st_mode & 0o077 == 0
    assert listening_ports(server.process.pid) == frozenset()


def test_socket_lies_where_it_is_asked_for_unless_the_path_is_too_long(tmp_path: Path) -> None:
    too_long = tmp_path / ("x" * 100)
    for folder in (too_long, tmp_path):
        folder.mkdir(exist_ok=True)
        server = LocalRedis(log_path=tmp_path / "redis.log", socket_dir=folder)
        try:
            server.start()
            assert server.socket_path is not None
            assert server.socket_path.is_socket()
            assert (server.socket_path.parent == folder) == (folder == tmp_path)
        finally:
            server.stop()
        assert not server.socket_path.exists()
        assert folder.exists()


def test_version_is_the_servers_own(start_redis: StartRedis) -> None:
    server = start_redis()
    with connect(server) as client:
        assert server.version == client.info("server")["redis_version"]
    assert tuple(map(int, server.version.split(".")[:2])) >= (6, 2)


def test_server_with_a_port_listens_on_loopback_alone(start_redis: StartRedis) -> None:
    for port in range(20_379, 20_479):
        try:
            server = start_redis(port=port)
        except PortInUse:
            continue
        break
    assert server.url == f"redis://127.0.0.1:{port}/0"
    assert listening_ports(server.process.pid) == {port}
    with connect(server) as client:
        assert client.ping()


def test_port_in_use_is_an_error_that_names_port_and_holder(start_redis: StartRedis) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port}: the port is in use") as caught:
            start_redis(port=port)
    assert caught.value.port == port
    assert f"pid {os.getpid()}" in caught.value.holder


def test_stop_leaves_no_process_and_no_socket(start_redis: StartRedis) -> None:
    server = start_redis()
    assert server.socket_path is not None
    server.stop()
    assert not server.process.running
    assert not server.socket_path.parent.exists()


def test_killed_server_comes_back_empty_at_the_same_address(start_redis: StartRedis) -> None:
    server = start_redis()
    url = server.url
    with connect(server) as client:
        client.set("key", "value")
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert server.url == url
        assert client.get("key") is None


def test_append_only_server_keeps_its_data_over_a_kill(
    start_redis: StartRedis, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    server = start_redis(data_dir=data_dir, append_only=True)
    with connect(server) as client:
        client.config_set("appendfsync", "always")
        client.set("key", "value")
        server.kill()
        server.start()
        assert client.get("key") == "value"


def test_memory_policy_is_as_asked_for(start_redis: StartRedis) -> None:
    server = start_redis(max_memory_bytes=32 * 1024 * 1024, max_memory_policy="allkeys-lru")
    with connect(server) as client:
        assert client.config_get("maxmemory*")["maxmemory"] == str(32 * 1024 * 1024)
        assert client.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"


def test_two_servers_share_nothing(start_redis: StartRedis) -> None:
    with connect(start_redis()) as one, connect(start_redis()) as other:
        one.set("key", "value")
        assert other.get("key") is None


def test_fresh_redis_is_empty(fresh_redis: LocalRedis) -> None:
    with connect(fresh_redis) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_fresh_redis_is_empty_again(fresh_redis: LocalRedis) -> None:
    with connect(fresh_redis) as client:
        assert client.dbsize() == 0


def test_missing_server_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ServerMissing, match="Install Redis") as caught:
        find_redis_server(tmp_path / "redis-server")
    assert caught.value.searched == (str(tmp_path / "redis-server"),)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
def test_sigkill_of_the_launcher_ends_redis_and_its_socket(tmp_path: Path) -> None:
    launcher = f"""
import time
from pathlib import Path
from tailrace.cli.local.local_redis import LocalRedis
server = LocalRedis(log_path=Path({str(tmp_path / "log")!r}))
server.start()
print(server.process.pid, server.socket_path, flush=True)
time.sleep(300)
"""
    with subprocess.Popen(
        [sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, socket_path = parent.stdout.readline().split()
        assert Path(socket_path).is_socket()
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: is_gone(int(pid)))
    assert not Path(socket_path).exists()
    Path(socket_path).parent.rmdir()
