"""The generator processes of a benchmark, and what they do together."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import time
from types import TracebackType

from tailrace.loadtest.bench.generator.orders import Order, Outcome

# Measured with grpcio 1.81: two context switches per call rather than five, and a quarter less
# CPU. Read by gRPC when it is imported.
EXPERIMENTS = {"GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener"}
_LEAD_TIME_S = 0.05


class Generators:
    """Processes that share every order; a context manager."""

    def __init__(self, count: int) -> None:
        """Describes the processes.

        Args:
            count: how many; more than there are cores would measure each other.
        """
        self._count = count
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Generators:
        # `env` adds to the environment that they inherit. They end by themselves once nobody
        # holds the other end of their stdin.
        settings = [f"{name}={value}" for name, value in EXPERIMENTS.items()]
        module = "tailrace.loadtest.bench.generator"
        self._processes = [
            subprocess.Popen(
                ["env", *settings, sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(self._count)
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            process.stdout.close()
            if error is not None:
                process.terminate()
            process.wait()

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._processes]

    async def scores(self, order: Order) -> list[float]:
        """Returns the scores that the first messages get, asked for by one process."""
        outcome = await asyncio.to_thread(_carry_out, self._processes[0], order)
        return outcome.scores

    async def load(self, order: Order) -> Outcome:
        """Returns what came of an order that all carry out together, each its share.

        Raises:
            RuntimeError: a process has ended.
        """
        order = dataclasses.replace(order, starts_at=time.monotonic() + _LEAD_TIME_S)
        shares = [share for share in self._shares(order) if share is not None]
        tasks = [
            asyncio.to_thread(_carry_out, process, share)
            for process, share in zip(self._processes, shares, strict=False)
        ]
        total = Outcome()
        for outcome in await asyncio.gather(*tasks):
            total.add(outcome)
        return total

    def _shares(self, order: Order) -> list[Order | None]:
        return [share_of(order, place, self._count) for place in range(self._count)]


def share_of(order: Order, place: int, count: int) -> Order | None:
    """Returns the part of an order for one of `count` processes, or none if nothing is left.

    In an open loop, the processes take turns at a fixed rate.
    """
    if order.work == "open":
        starts_at = order.starts_at + place / order.rate
        in_flight, rate = 0, order.rate / count
    else:
        in_flight = order.in_flight // count + (place < order.in_flight % count)
        starts_at, rate = order.starts_at, 0.0
        if not in_flight:
            return None
    connections = max(1, order.connections // count)
    if in_flight:
        connections = min(connections, in_flight)
    return dataclasses.replace(
        order,
        in_flight=in_flight,
        rate=rate,
        starts_at=starts_at,
        connections=connections,
        # Far apart among the messages.
        first=order.first + place * 997,
    )


def _carry_out(process: subprocess.Popen[bytes], order: Order) -> Outcome:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(order.to_line().encode())
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a generator ended with status {process.wait()}; see above")
    return Outcome.from_line(line.decode())
