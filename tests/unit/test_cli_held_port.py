"""The port that gateway workers share: they get in, and strangers do not."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import sys
from collections.abc import AsyncIterator, Iterator

import grpc.aio
import pytest

from tailrace.cli.workers.held_port import held_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")
HOSTS = (
    "127.0.0.1",
    "localhost",
    "0.0.0.0",
    pytest.param("::1", marks=needs_ipv6),
    pytest.param("::", marks=needs_ipv6),
)
LOOPBACK = {"::1": "::1", "::": "::1"}


@contextlib.asynccontextmanager
async def grpc_server(host: str, port: int, join: bool) -> AsyncIterator[grpc.aio.Server]:
    """A gRPC server on that port. Raises RuntimeError if it cannot have it."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", int(join))])
    address = f"[{host}]" if ":" in host else host
    server.add_insecure_port(f"{address}:{port}")
    await server.start()
    try:
        yield server
    finally:
        await server.stop(None)


@contextlib.contextmanager
def listener(family: int, address: str, port: int, *options: int) -> Iterator[socket.socket]:
    """A plain socket that listens. Raises OSError if it cannot."""
    with socket.socket(family, socket.SOCK_STREAM) as one:
        for option in options:
            one.setsockopt(socket.SOL_SOCKET, option, 1)
        one.bind((address, port))
        one.listen()
        yield one


def refused(family: int, address: str, port: int, *options: int) -> bool:
    """Whether a socket with these options cannot listen there."""
    try:
        with listener(family, address, port, *options):
            return False
    except OSError as error:
        assert error.errno == errno.EADDRINUSE
        return True


@pytest.mark.parametrize("host", HOSTS)
async def test_those_who_share_get_in_and_strangers_do_not(host: str) -> None:
    with held_port(host, 0) as port:
        with pytest.raises(RuntimeError):
            async with grpc_server(host, port, join=False):
                pass
        async with grpc_server(host, port, join=True), grpc_server(host, port, join=True):
            with pytest.raises(RuntimeError):
                async with grpc_server(host, port, join=False):
                    pass
            address = LOOPBACK.get(host, "127.0.0.1")
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            assert refused(family, address, port)
            assert refused(family, address, port, socket.SO_REUSEADDR)
            target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            async with grpc.aio.insecure_channel(target) as channel:
                await channel.channel_ready()
    async with grpc_server(host, port, join=False):
        pass


@pytest.mark.parametrize("join", [True, False])
@pytest.mark.parametrize("host", HOSTS)
async def test_a_port_in_use_is_refused(host: str, join: bool) -> None:
    with held_port(host, 0) as port:
        pass
    async with grpc_server(host, port, join=join):
        with pytest.raises(OSError) as caught, held_port(host, port):
            pass
        assert caught.value.errno == errno.EADDRINUSE


def test_a_second_holder_is_refused() -> None:
    with held_port("127.0.0.1", 0) as port, pytest.raises(OSError), held_port("127.0.0.1", port):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_connections_closed_a_moment_ago_do_not_keep_the_port(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sharing = (socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    with listener(family, address, 0, socket.SO_REUSEADDR) as server:
        port = server.getsockname()[1]
        with socket.create_connection((address, port)) as caller:
            accepted, _ = server.accept()
            # Whoever closes first is left with the rest of the connection.
            accepted.close()
            assert caller.recv(1) == b""
    assert refused(family, address, port)
    with held_port(address, port) as held:
        assert held == port
        assert refused(family, address, port)
        assert refused(family, address, port, socket.SO_REUSEADDR)
        with (
            listener(family, address, port, *sharing) as first,
            listener(family, address, port, *sharing) as second,
            socket.create_connection((address, port)),
        ):
            assert len(select.select([first, second], [], [], 5)[0]) == 1


def test_localhost_is_held_on_all_its_addresses() -> None:
    with held_port("localhost", 0) as port:
        assert refused(socket.AF_INET, "127.0.0.1", port, socket.SO_REUSEADDR)
        if _has_ipv6():
            assert refused(socket.AF_INET6, "::1", port, socket.SO_REUSEADDR)


def test_an_unknown_host_is_an_error() -> None:
    with pytest.raises(OSError), held_port("no-such-host.invalid", 0):
        pass
