"""Kills processes at random while submissions are under way, and starts them again."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from tailrace.runtime.telemetry_names import DISPATCHER_BATCHES_IN_FLIGHT, DISPATCHER_BREAKER_OPEN
from tests.support.submission_world.history import History
from tests.support.submission_world.world import LEASE_MS, ROLES, Role, SubmissionWorld

_PROGRESS_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 0.02
_HOP = "inference"
_PAUSE_S = 1.5 * LEASE_MS / 1000


@dataclass(frozen=True, kw_only=True)
class KillPlan:
    """How much is killed.

    Attributes:
        kills: how often each role is killed.
        pauses: how often one of several is stopped for longer than its lease, by role.
        machine_ends: share of the queue's deaths after which nothing is left but what was synced.
        torn: share of them after which half a command is at the end of its log.
        most_progress: acknowledgements and deliveries between two kills, at most; drawn.
    """

    kills: Mapping[Role, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 20))
    pauses: Mapping[Role, int] = field(default_factory=dict)
    machine_ends: float = 0.0
    torn: float = 0.2
    most_progress: int = 150


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that was done to a process.

    Attributes:
        role: of the process.
        name: of the process.
        how: `kill`, `torn`, `machine` or `pause`.
        at: when, by `time.monotonic`.
        open_calls: calls that were submitting at that moment.
        undelivered: predictions that were acknowledged and not delivered at that moment.
    """

    role: Role
    name: str
    how: str
    at: float
    open_calls: int
    undelivered: int


class Killer:
    """Does what its plan says, in an order drawn from a seed.

    Attributes:
        faults: what was done, in order.
    """

    def __init__(
        self,
        world: SubmissionWorld,
        history: History,
        plan: KillPlan,
        rng: random.Random,
        loss_window_s: float,
    ) -> None:
        self.faults: list[Fault] = []
        self._world = world
        self._history = history
        self._plan = plan
        self._rng = rng
        self._loss_window_s = loss_window_s
        self._down: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Returns once everything was done and all processes are back."""
        order = [(role, False) for role, count in self._plan.kills.items() for _ in range(count)]
        order += [(role, True) for role, count in self._plan.pauses.items() for _ in range(count)]
        self._rng.shuffle(order)
        for role, is_pause in order:
            name = self._rng.choice(self._world.names(role))
            # Of those that may take over, one is there while another is stopped.
            await self._wait_up(*(self._world.names(role) if is_pause else [name]))
            await self._wait_under_way(role, self._rng.randint(1, self._plan.most_progress))
            if role == "redis" and self._loss_window_s:
                await self._wait_at_stake()
            # Nothing else runs between the condition and the kill.
            if is_pause:
                await self._pause(role, name)
            else:
                self._kill(role, name)
        await self._wait_up(*self._down)

    def counts(self) -> Counter[str]:
        """Returns how often each role was killed, pauses apart."""
        return Counter(fault.role for fault in self.faults if fault.how != "pause")

    async def _wait_up(self, *names: str) -> None:
        for name in names:
            if name in self._down:
                await self._down.pop(name)

    async def _wait_under_way(self, role: Role, progress: int) -> None:
        history = self._history
        enough = history.progress + progress
        await history.wait_until(
            lambda: history.progress >= enough and self._is_under_way(),
            _PROGRESS_TIMEOUT_S,
            f"submissions go on before {role} is killed",
        )

    async def _wait_at_stake(self) -> None:
        """Returns once something was acknowledged that is not on disk yet."""
        redis = self._world.redis
        while True:
            logged = redis.logged_bytes()
            await self._history.wait_until(
                partial(self._is_newer_than, time.monotonic()),
                _PROGRESS_TIMEOUT_S,
                "more is submitted before redis is killed",
            )
            # What was sent since then is in the log after what was in it before.
            if redis.synced_bytes() <= logged:
                return

    def _is_newer_than(self, since: float) -> bool:
        return self._history.newest_sent_at >= since and self._is_under_way()

    def _is_under_way(self) -> bool:
        return self._history.open_calls > 0 and self._history.undelivered > 0

    def _kill(self, role: Role, name: str) -> None:
        how = self._how() if role == "redis" else "kill"
        self._note(role, name, how)
        if how == "machine":
            ended_at = self._world.redis.end_machine()
            if self._loss_window_s:
                self._history.may_be_lost(ended_at - self._loss_window_s)
        elif how == "torn":
            self._world.redis.tear()
        else:
            self._world.processes[name].kill()
        process = self._world.processes[name]
        process.launch()
        self._down[name] = asyncio.create_task(asyncio.to_thread(process.wait_ready, 60.0))

    async def _pause(self, role: Role, name: str) -> None:
        if role == "dispatcher":
            await self._fill(name)
            while not self._is_under_way():
                # Without the hop the backlog is full soon, and nobody submits.
                self._world.resume(_HOP)
                await self._wait_under_way(role, 1)
                await self._fill(name)
        self._note(role, name, "pause")
        self._world.pause(name)
        if role == "dispatcher":
            self._world.resume(_HOP)

        async def resume() -> None:
            await asyncio.sleep(_PAUSE_S)
            self._world.resume(name)

        self._down[name] = asyncio.create_task(resume())

    async def _fill(self, dispatcher: str) -> None:
        """Stops the hop, and returns once a dispatcher waits for it.

        What the hop answers later comes to a dispatcher that has lost its claims.
        """
        await self._wait_up(_HOP)
        self._world.pause(_HOP)
        give_up_at = time.monotonic() + _PROGRESS_TIMEOUT_S
        in_flight = 0.0
        while not in_flight:
            assert time.monotonic() < give_up_at, f"{dispatcher} has nothing in flight"
            await asyncio.sleep(_LOOK_EVERY_S)
            if await asyncio.to_thread(self._world.metric, dispatcher, DISPATCHER_BREAKER_OPEN):
                # It asks for no work before the hop has answered.
                self._world.resume(_HOP)
                continue
            self._world.pause(_HOP)
            in_flight = await asyncio.to_thread(
                self._world.metric, dispatcher, DISPATCHER_BATCHES_IN_FLIGHT
            )

    def _how(self) -> str:
        drawn = self._rng.random()
        if drawn < self._plan.machine_ends:
            return "machine"
        return "torn" if drawn < self._plan.machine_ends + self._plan.torn else "kill"

    def _note(self, role: Role, name: str, how: str) -> None:
        self.faults.append(
            Fault(
                role=role,
                name=name,
                how=how,
                at=time.monotonic(),
                open_calls=self._history.open_calls,
                undelivered=self._history.undelivered,
            )
        )
