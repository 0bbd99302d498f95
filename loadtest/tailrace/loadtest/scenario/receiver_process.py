"""The receiver of a scenario's submissions, from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tailrace.cli.local.lifeline import tied
from tailrace.client import AsyncClient, CallbackSpec, PredictionError, Tls
from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.latency_histogram import LatencyHistogram
from tailrace.loadtest.scenario.receiver import Taken
from tailrace.webhooks.keys import Scheme, make_secret

_MODULE = "tailrace.loadtest.scenario.receiver"
_LINE_BYTES = 64 * 1024 * 1024
_ASK_EVERY_S = 0.2


@dataclass(slots=True)
class Deliveries:
    """All that a receiver has taken.

    Attributes:
        ids: of the predictions, with how often each came as a new one.
        again: deliveries of ids that it had taken already.
        failed: results that are no predictions.
        latencies: from the submission until it was there.
        deliveries: from when the result was final until it was there.
    """

    ids: Counter[str] = field(default_factory=Counter)
    again: int = 0
    failed: int = 0
    latencies: LatencyHistogram = field(default_factory=LatencyHistogram)
    deliveries: LatencyHistogram = field(default_factory=LatencyHistogram)

    def add(self, taken: Taken) -> None:
        """Adds what it has taken meanwhile."""
        self.ids.update(taken.ids)
        self.again += taken.again
        self.failed += taken.failed
        self.latencies.record(np.array(taken.latencies_ns, np.int64))
        self.deliveries.record(np.array(taken.deliveries_ns, np.int64))


@dataclass(frozen=True, slots=True)
class Account:
    """Acknowledged submissions against results that came.

    Attributes:
        acknowledged: different ids that were acknowledged.
        arrived: those of them that came.
        missing: those that did not.
        again: deliveries beyond the first of an id.
        unasked: results of ids that were not acknowledged.
        unknown: calls without an answer: each may or may not have been taken in.
    """

    acknowledged: int
    arrived: int
    missing: int
    again: int
    unasked: int
    unknown: int

    @property
    def exactly_once(self) -> bool:
        """True if each that was acknowledged came once, and nothing that nobody had asked for."""
        return not self.missing and not self.again and self.unasked <= self.unknown


def account(acknowledged: Iterable[str], deliveries: Deliveries, unknown: int) -> Account:
    """Returns what became of submissions.

    Args:
        acknowledged: ids, as callers got them.
        deliveries: what came.
        unknown: calls without an answer.
    """
    ids = set(acknowledged)
    arrived = ids & deliveries.ids.keys()
    twice = sum(count - 1 for count in deliveries.ids.values())
    return Account(
        acknowledged=len(ids),
        arrived=len(arrived),
        missing=len(ids) - len(arrived),
        again=twice + deliveries.again,
        unasked=len(deliveries.ids) - len(arrived),
        unknown=unknown,
    )


class ReceiverProcess:
    """A receiver that runs.

    Attributes:
        target: where results are pushed to.
        taken: all that it has told so far.
    """

    def __init__(self, process: asyncio.subprocess.Process, target: str) -> None:
        """Keeps a process that has told where it listens."""
        self.target = target
        self.taken = Deliveries()
        self._process = process

    async def ask(self) -> Deliveries:
        """Returns all that it has taken."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()
        self.taken.add(Taken(**await _line(self._process)))
        return self.taken

    async def wait_for(self, ids: Iterable[str], timeout_s: float) -> Deliveries:
        """Returns what has come once all these ids have, or the time is over.

        Args:
            ids: of predictions.
            timeout_s: how long to wait, in seconds.
        """
        wanted = set(ids)
        give_up_at = time.monotonic() + timeout_s
        while wanted - (await self.ask()).ids.keys():  # noqa: ASYNC110  # another process's state
            if time.monotonic() >= give_up_at:
                break
            await asyncio.sleep(_ASK_EVERY_S)
        # What comes twice comes a little later than what comes once.
        await asyncio.sleep(_ASK_EVERY_S)
        return await self.ask()


@contextlib.asynccontextmanager
async def running_receiver(
    gateway: str, tls: Tls | None, callback: str
) -> AsyncIterator[ReceiverProcess]:
    """Runs a receiver inside the block, registered as a callback.

    Args:
        gateway: where the mesh is.
        tls: for calling it; None for plaintext.
        callback: name to register.

    Raises:
        LoadError: the mesh does not take the callback.
    """
    secret, _ = make_secret(Scheme.HMAC_SHA256)
    process = await asyncio.create_subprocess_exec(
        *tied([sys.executable, "-m", _MODULE]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C is for the scenario, which ends it by its input.
        start_new_session=True,
        limit=_LINE_BYTES,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(f"{secret}\n".encode())
        receiver = ReceiverProcess(process, (await _line(process))["target"])
        async with AsyncClient(gateway, tls=tls) as client:
            await _register(client, callback, receiver.target, secret)
            try:
                yield receiver
            finally:
                with contextlib.suppress(PredictionError):
                    await client.callbacks.delete(callback)
    finally:
        process.stdin.close()
        await process.wait()


async def _register(client: AsyncClient, callback: str, target: str, secret: str) -> None:
    try:
        await client.callbacks.register(
            callback, CallbackSpec(target=target, max_batch=64), secret=secret
        )
    except PredictionError as error:
        raise LoadError(
            f"the mesh does not push results to {target}: {error}",
            "it has to take submissions, and to allow plaintext callbacks on this machine",
        ) from error


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise LoadError(
            f"the receiver ended with status {await process.wait()}", "its own words are above"
        )
    told: dict[str, Any] = json.loads(line)
    return told
