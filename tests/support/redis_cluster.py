"""A real Redis Cluster of three nodes on this machine."""

from __future__ import annotations

import functools
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import redis

from tailrace.cli.local.local_redis import find_redis_server
from tailrace.cli.local.ports import LOOPBACK
from tailrace.cli.local.process import ChildProcess
from tests.support.waiting import wait_for

NODES = 3
SLOTS = 16_384


class LocalCluster:
    """Three primaries without replicas, each with an append-only log that is always synced."""

    def __init__(self, folder: Path) -> None:
        self.ports = _free_ports(NODES)
        self.nodes: list[ChildProcess] = []
        for port in self.ports:
            data_dir = folder / str(port)
            data_dir.mkdir()
            command = [str(find_redis_server()), "--port", str(port), "--bind", LOOPBACK]
            command += ["--cluster-enabled", "yes", "--dir", str(data_dir), "--save", ""]
            command += ["--appendonly", "yes", "--appendfsync", "always"]
            log_path = folder / f"{port}.log"
            self.nodes.append(
                ChildProcess(
                    f"redis {port}",
                    command,
                    log_path=log_path,
                    parent_death_signal=signal.SIGTERM,
                )
            )

    @property
    def url(self) -> str:
        """Where to reach the first node."""
        return f"redis://{LOOPBACK}:{self.ports[0]}/0"

    def start(self) -> None:
        """Starts the nodes and returns once they are a cluster."""
        for node in self.nodes:
            node.start()
        with ExitStack() as stack:
            clients = [stack.enter_context(redis.Redis(LOOPBACK, port)) for port in self.ports]
            for node, client in zip(self.nodes, clients, strict=True):
                node.wait_until(
                    functools.partial(_answers, client), timeout_s=10, waiting_for="PING"
                )
            share = -(-SLOTS // NODES)
            for index, client in enumerate(clients):
                slots = range(index * share, min((index + 1) * share, SLOTS))
                client.execute_command("CLUSTER ADDSLOTS", *slots)
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
            for client in clients[1:]:
                client.execute_command("CLUSTER MEET", LOOPBACK, self.ports[0])
            wait_for(lambda: all(_is_whole(client) for client in clients), timeout_s=20)

    def restart(self, index: int) -> None:
        """Starts a node that was killed, and returns once the cluster is whole again."""
        node = self.nodes[index]
        node.start()
        with ExitStack() as stack:
            clients = [stack.enter_context(redis.Redis(LOOPBACK, port)) for port in self.ports]
            node.wait_until(
                functools.partial(_answers, clients[index]), timeout_s=10, waiting_for="PING"
            )
            wait_for(lambda: all(_is_whole(client) for client in clients), timeout_s=30)

    def empty(self) -> None:
        """Deletes all keys of all nodes."""
        for port in self.ports:
            with redis.Redis(LOOPBACK, port) as client:
                client.flushall()

    def stop(self) -> None:
        """Ends the nodes."""
        for node in self.nodes:
            node.stop(5)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _is_whole(client: redis.Redis) -> bool:
    info = client.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
    return (info["cluster_state"], info["cluster_known_nodes"]) == ("ok", str(NODES))


def _free_ports(count: int) -> list[int]:
    """Returns ports that are free, as are those 10,000 above, which the nodes talk on."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port_socket, bus_socket = socket.socket(), socket.socket()
            held.enter_context(port_socket)
            held.enter_context(bus_socket)
            port_socket.bind((LOOPBACK, 0))
            port = port_socket.getsockname()[1]
            try:
                bus_socket.bind((LOOPBACK, port + 10_000))
            except (OSError, OverflowError):
                continue
            found.append(port)
    return found
