"""The connection to the queue Redis, one server or a cluster; no other module knows redis-py."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tailrace.runtime.errors import QueueUnavailable
from tailrace.submissions.durability import ServerState, fault_of
from tailrace.submissions.script import Script

Argument = str | bytes | int

_REPLY_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 2.0
_MAX_CONNECTIONS = 512
# Errors that are the server's state, not a defect of ours. redis-py takes the code out of some.
_STATE_TYPES = {
    AskError: "MOVED",
    AuthenticationError: "NOAUTH",
    BusyLoadingError: "LOADING",
    ClusterDownError: "CLUSTERDOWN",
    MasterDownError: "MASTERDOWN",
    NoPermissionError: "NOPERM",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    TryAgainError: "TRYAGAIN",
}
# Also within the errors of scripts.
_STATE_CODES = re.compile(r"\b(OOM|MISCONF|READONLY|CLUSTERDOWN|NOREPLICAS|BUSY|NOPERM)\b")

_Reply = TypeVar("_Reply")


class Unsuitable(RedisConnectionError):
    """A server cannot hold the queue; the message says why."""


class QueueLink:
    """Runs scripts and commands on the queue Redis; connects when first used, and after a loss.

    Nothing is repeated by itself, as what was lost may have been the reply alone.

    Attributes:
        is_cluster: whether keys are spread over several servers.
        available: whether the last call had an answer.
        fault: why the last server connected to cannot hold the queue, or None.
        server: what the last server connected to said of itself, or None.
    """

    def __init__(
        self,
        url: str,
        *,
        cluster: bool,
        client_name: str,
        durability: str,
        partitions: tuple[str, int],
    ) -> None:
        """Keeps the address; nothing is connected yet.

        Args:
            url: as redis-py takes it.
            cluster: whether it names a node of a cluster.
            client_name: what Redis lists the connections under.
            durability: TAILRACE_QUEUE_DURABILITY.
            partitions: key that keeps how many partitions there are, and how many there have to be.

        Raises:
            ValueError: the URL cannot be used.
        """
        self.available = True
        self.fault: str | None = None
        self.server: ServerState | None = None
        self._wanted = durability
        self._partitions = partitions
        self._url = url
        self.is_cluster = cluster
        self._client_name = client_name
        self._client: Any = self._open_client(_REPLY_TIMEOUT_S)
        # Its replies may take as long as a reader is ready to wait.
        self._patient: Any = self._open_client(None)

    async def run(
        self, script: Script, key: str, *arguments: Argument, durable: bool = False
    ) -> Any:
        """Returns what a script returns; `key` is its only one.

        Args:
            script: what to run.
            key: KEYS[1]; all that the script touches has its hash tag.
            arguments: ARGV.
            durable: whether to wait until its writes are on disk, where the server has to be told.

        Raises:
            QueueUnavailable: the script may or may not have run.
        """
        if durable and self._wanted == "waitaof":
            return await self._guard(self._run_to_disk(script, key, arguments))
        return await self._guard(self._run(script, key, arguments))

    async def call(self, *command: Argument) -> Any:
        """Returns the reply to a command. Raises QueueUnavailable."""
        return await self._guard(self._client.execute_command(*command))

    async def wait_newer(self, stream: str, after: str, block_ms: int) -> None:
        """Returns once a stream has an entry after a position, or after a time.

        Raises:
            QueueUnavailable: as `call`.
        """
        command = ("XREAD", "COUNT", 1, "BLOCK", max(1, block_ms), "STREAMS", stream, after)

        async def read() -> None:
            async with asyncio.timeout(block_ms / 1000 + _REPLY_TIMEOUT_S):
                await self._patient.execute_command(*command)

        await self._guard(read())

    async def check(self) -> None:
        """Connects to every server of the queue. Raises QueueUnavailable; `fault` may say why."""
        await self._guard(self._ping_all())

    async def listen(self, channels: Sequence[str], tell: Callable[[str | None], None]) -> None:
        """Calls `tell` with the channel of each message, and once with None to begin with.

        Returns when the connection cannot be made or is lost.
        """
        client = self._subscriber()
        try:
            async with client.pubsub() as subscription:
                await subscription.subscribe(*channels)
                tell(None)
                async for message in subscription.listen():
                    if message["type"] == "message":
                        tell(message["channel"].decode())
        except (RedisError, OSError):
            return
        finally:
            await client.aclose()

    def _subscriber(self) -> Redis:
        # Any node of a cluster passes on what was published at another.
        nodes = self._client.get_nodes() if self.is_cluster else []
        if not nodes:
            return self._open_single(None)
        options = dict(self._client.connection_kwargs)
        names = ("username", "password", "credential_provider")
        secrets = {name: options[name] for name in names if options.get(name)}
        return Redis(
            host=nodes[0].host,
            port=nodes[0].port,
            # What is published comes when it comes.
            socket_timeout=None,
            ssl=self._url.startswith("rediss"),
            client_name=self._client_name,
            protocol=2,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            **secrets,
        )

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()
        await self._patient.aclose()

    async def _ping_all(self) -> None:
        if not self.is_cluster:
            await self._client.execute_command("PING")
            return
        await self._client.initialize()
        for node in self._client.get_primaries():
            await node.execute_command("PING")

    async def _run(self, script: Script, key: str, arguments: Sequence[Argument]) -> Any:
        try:
            return await self._client.execute_command("EVALSHA", script.digest, 1, key, *arguments)
        except NoScriptError:
            # EVAL also keeps the script, on the server that has the key.
            return await self._client.execute_command("EVAL", script.source, 1, key, *arguments)

    async def _run_to_disk(self, script: Script, key: str, arguments: Sequence[Argument]) -> Any:
        # WAITAOF is about the writes of its own connection. EVAL, as a pipeline that meets an
        # unknown script would have to be sent twice.
        wait = ("WAITAOF", 1, 0, int(_REPLY_TIMEOUT_S * 1000))
        run = ("EVAL", script.source, 1, key, *arguments)
        if self.is_cluster:
            reply, synced = await self._call_node_of(key, run, wait)
        else:
            async with self._client.pipeline(transaction=False) as pipeline:
                reply, synced = await (
                    pipeline.execute_command(*run).execute_command(*wait).execute()
                )
        if synced[0] < 1:
            raise RedisTimeoutError("the write was not on disk in time")
        return reply

    async def _call_node_of(self, key: str, *commands: Sequence[Argument]) -> list[Any]:
        """Returns the replies to commands sent together to the server that has a key."""
        try:
            node = self._client.get_node_from_key(key)
            connection = node.acquire_connection()
            try:
                await connection.connect()
                await connection.send_packed_command(connection.pack_commands(commands))
                # All of them: one left over would be taken for the reply to what is sent next.
                replies = [await _reply_or_error(connection) for _ in commands]
            finally:
                node.release(connection)
            for reply in replies:
                if isinstance(reply, ResponseError):
                    raise reply
            return replies
        except (RedisConnectionError, RedisTimeoutError, MovedError, OSError):
            # Only by calls of its own does the client learn that another server has the key now.
            with contextlib.suppress(RedisError, OSError):
                await self._client.execute_command("EXISTS", key)
            raise

    async def _guard(self, reply: Awaitable[_Reply]) -> _Reply:
        try:
            found = await _ended_by_cancellation(reply)
        except (RedisError, OSError) as error:
            state = _state_of(error)
            if state is None and isinstance(error, ResponseError):
                raise
            # Out of memory, it still answers and can be read from.
            self.available = state == "OOM"
            if self.fault:
                raise QueueUnavailable(self.fault) from error
            if state:
                raise QueueUnavailable(f"the queue refused: {state}") from error
            cause = type(error.__cause__ or error).__name__
            raise QueueUnavailable(f"the queue cannot be reached: {cause}") from error
        self.available = True
        return found

    def _open_client(self, timeout_s: float | None) -> Any:
        try:
            if self.is_cluster:
                return self._open_cluster(timeout_s)
            client = self._open_single(timeout_s)
            # Options of the URL are looked at only here.
            client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        except (TypeError, RedisClusterException) as error:
            raise ValueError(f"the Redis URL cannot be used: {error}") from error
        return client

    def _open_single(self, timeout_s: float | None) -> Redis:
        return Redis.from_url(
            self._url,
            protocol=2,
            client_name=self._client_name,
            socket_timeout=timeout_s,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            max_connections=_MAX_CONNECTIONS,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=self._on_connect,
        )

    def _open_cluster(self, timeout_s: float | None) -> RedisCluster:
        client = RedisCluster.from_url(
            self._url,
            protocol=2,
            client_name=self._client_name,
            socket_timeout=timeout_s,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            max_connections=_MAX_CONNECTIONS,
            retry=Retry(NoBackoff(), 0),
        )
        # There is no argument for it.
        client.connection_kwargs["redis_connect_func"] = self._on_connect
        client.nodes_manager.connection_kwargs["redis_connect_func"] = self._on_connect
        for node in client.nodes_manager.startup_nodes.values():
            node.connection_kwargs["redis_connect_func"] = self._on_connect
        return client

    async def _on_connect(self, connection: AbstractConnection) -> None:
        """Looks at the server behind every new connection: it may have changed meanwhile."""
        await connection.on_connect()
        self.server = await _ask(connection)
        self.fault = fault_of(self.server, self._wanted)
        if self.fault is None:
            self.fault = await _partitions_fault(connection, *self._partitions)
        if self.fault:
            raise Unsuitable(self.fault)


async def _ended_by_cancellation(reply: Awaitable[_Reply]) -> _Reply:
    """Returns what a call returns; a cancellation that it lost is raised once it is over.

    Up to Python 3.11, `asyncio.wait_for`, which redis-py sends with, loses one that comes just as
    it is done (https://github.com/python/cpython/issues/86296).
    """
    task = asyncio.current_task()
    asked = 0 if task is None else task.cancelling()
    try:
        return await reply
    finally:
        if task is not None and task.cancelling() > asked:
            raise asyncio.CancelledError


async def _reply_or_error(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _state_of(error: BaseException) -> str | None:
    for kind, code in _STATE_TYPES.items():
        if isinstance(error, kind):
            return code
    found = _STATE_CODES.search(str(error)) if isinstance(error, RedisError) else None
    return found[1] if found else None


async def _ask(connection: AbstractConnection) -> ServerState:
    await connection.send_command("INFO")
    lines = (await connection.read_response()).decode().splitlines()
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    if info["loading"] == "1":
        # Its log is switched off until it has read what is there.
        raise BusyLoadingError("it is loading")
    append_fsync, refusal = None, ""
    await connection.send_command("CONFIG", "GET", "appendfsync")
    try:
        found = await connection.read_response()
        append_fsync = found[1].decode() if found else None
    except ResponseError as error:
        refusal = _state_of(error) or str(error).split(" ", 1)[0]
    return ServerState(
        version=info["redis_version"],
        memory_policy=info["maxmemory_policy"],
        append_only=info["aof_enabled"] == "1",
        append_fsync=append_fsync,
        refusal=refusal,
    )


async def _partitions_fault(connection: AbstractConnection, key: str, wanted: int) -> str | None:
    """Keeps the number where there is none; returns why it is not the wanted one, or None."""
    found = None
    try:
        for command in (("GET", key), ("SET", key, wanted, "NX"), ("GET", key)):
            await connection.send_command(*command)
            found = await connection.read_response()
            if command[0] == "GET" and found is not None:
                break
    except ResponseError as error:
        # Another node of the cluster has the key, or the server writes nothing at present.
        if _state_of(error) is None:
            raise
        return None
    if found is None or int(found) == wanted:
        return None
    return (
        f"the queue has {int(found)} partitions, and TAILRACE_QUEUE_PARTITIONS is {wanted}; to "
        f"change it, let the queue run empty, stop what uses it, and delete the key {key}"
    )
