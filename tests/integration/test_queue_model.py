"""The queue against a simple model of it: whatever is done, in whatever order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.runtime.config import DispatcherSettings
from tailrace.runtime.errors import FailedPrecondition
from tailrace.submissions.open_queue import open_queue
from tailrace.submissions.records import (
    CallbackChoice,
    Claim,
    DeadReason,
    DeliveryClaim,
    DeliveryState,
    RunPostponed,
    State,
)
from tests.support.submissions import attempt_of, result_of, submit

_Value = TypeVar("_Value")
_KEY = "acme/orders"
_CALLBACKS = {
    "none": None,
    "plain": CallbackChoice(key=_KEY),
    "ordered": CallbackChoice(key=_KEY, ordered=True),
}


@dataclass
class Modelled:
    """What the model knows of a submission."""

    lane: str
    has_callback: bool
    state: State = State.QUEUED
    delivery: DeliveryState = DeliveryState.NONE
    dead: bool = False
    poison: bool = False
    waits: bool = False
    fence: int = 0
    leased: bool = False


class QueueMachine(RuleBasedStateMachine):
    """One partition; leases do not end by themselves."""

    server: ClassVar[LocalRedis]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.raw: redis.Redis = redis.Redis.from_url(self.server.url)
        self.raw.flushall()
        self.open = AsyncExitStack()
        options = DispatcherSettings(queue_redis_url=self.server.url, queue_partitions=1)
        self.queue = self.run(self.open.enter_async_context(open_queue(options, "model")))
        self.store = self.queue.submissions
        no_time = options.model_copy(update={"submission_ttl_s": 0})
        self.hasty = self.run(self.open.enter_async_context(open_queue(no_time, "hasty")))
        self.known: dict[str, Modelled] = {}
        self.lanes: dict[str, list[str]] = {}
        self.claims: list[Claim] = []
        self.deliveries: list[DeliveryClaim] = []

    def run(self, step: Coroutine[Any, Any, _Value]) -> _Value:
        return self.runner.run(step)

    def teardown(self) -> None:
        self.run(self.open.aclose())
        self.runner.close()
        self.raw.close()

    @rule(
        callback=st.sampled_from(sorted(_CALLBACKS)),
        lane=st.sampled_from("ab"),
        priority=st.integers(1, 4),
        expired=st.booleans(),
    )
    def submit(self, callback: str, lane: str, priority: int, expired: bool) -> None:
        choice = _CALLBACKS[callback]
        key = lane if callback == "ordered" else ""
        submitted = self.run(
            submit(
                self.hasty if expired else self.queue,
                callback=choice,
                ordering_key=key,
                priority=priority,
            )
        )
        if key:
            self.lanes.setdefault(key, []).append(submitted.prediction_id)
        self.known[submitted.prediction_id] = Modelled(key, choice is not None)
        if expired:
            assert self.run(self.store.sweep(0)) == 1
            self._end(submitted.prediction_id, State.EXPIRED)

    @rule(most=st.integers(1, 5))
    def claim(self, most: int) -> None:
        waiting = [
            each for each in self.known.values() if each.state is State.QUEUED and not each.waits
        ]
        claims = self.run(self.store.claim(0, most))
        assert len(claims) == min(most, len(waiting))
        for claim in claims:
            known = self.known[claim.prediction_id]
            assert known.state is State.QUEUED and not known.waits
            known.state, known.fence = State.RUNNING, known.fence + 1
            assert claim.fence == known.fence
        self.claims += claims

    def _is_newest(self, claim: Claim) -> bool:
        known = self.known[claim.prediction_id]
        return known.state is State.RUNNING and known.fence == claim.fence

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), poison=st.booleans())
    def finish(self, data: st.DataObject, poison: bool) -> None:
        # Claims stay in the list, so that stale ones come up as well.
        claim = data.draw(st.sampled_from(self.claims))
        newest = self._is_newest(claim)
        result = result_of(
            claim,
            state=State.FAILED if poison else State.SUCCEEDED,
            dead_reason=DeadReason.POISON if poison else None,
        )
        assert self.run(self.store.finish(0, [result])) == [newest]
        if newest:
            self._end(claim.prediction_id, result.state, poison=poison)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), at_once=st.booleans())
    def postpone(self, data: st.DataObject, at_once: bool) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        newest = self._is_newest(claim)
        back = RunPostponed(
            prediction_id=claim.prediction_id,
            fence=claim.fence,
            delay_ms=0 if at_once else 3_600_000,
        )
        assert self.run(self.store.postpone(0, [back])) == [newest]
        if newest:
            known = self.known[claim.prediction_id]
            known.state, known.waits = State.QUEUED, not at_once

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        assert self.run(self.store.renew(0, [claim])) == [self._is_newest(claim)]

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        prediction_id = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[prediction_id]
        try:
            self.run(self.store.cancel(prediction_id, ""))
        except FailedPrecondition:
            assert known.state.is_final and known.state is not State.CANCELLED
            return
        assert not known.state.is_final or known.state is State.CANCELLED
        if not known.state.is_final:
            self._end(prediction_id, State.CANCELLED)

    def _end(self, prediction_id: str, state: State, *, poison: bool = False) -> None:
        known = self.known[prediction_id]
        known.state, known.waits = state, False
        if poison:
            known.dead = known.poison = True
            known.delivery = DeliveryState.DEAD if known.has_callback else DeliveryState.NONE
            self._leave_lane(prediction_id)
        elif known.has_callback:
            known.delivery = DeliveryState.PENDING

    def _leave_lane(self, prediction_id: str) -> None:
        lane = self.lanes.get(self.known[prediction_id].lane, [])
        if prediction_id in lane:
            lane.remove(prediction_id)

    def _is_due(self, prediction_id: str) -> bool:
        known = self.known[prediction_id]
        lane = self.lanes.get(known.lane, [])
        has_turn = prediction_id not in lane or lane[0] == prediction_id
        return known.delivery is DeliveryState.PENDING and has_turn and not known.leased

    @rule(most=st.integers(1, 4))
    def claim_deliveries(self, most: int) -> None:
        due = [each for each in self.known if self._is_due(each)]
        callbacks = self.run(self.store.due_callbacks(0))
        assert callbacks == ([_KEY] if due else [])
        claims = self.run(self.store.claim_deliveries(0, _KEY, most, 3_600_000))
        assert len(claims) == min(most, len(due))
        for claim in claims:
            assert claim.prediction_id in due
            self.known[claim.prediction_id].leased = True
        self.deliveries += claims

    @precondition(lambda self: self.deliveries)
    @rule(data=st.data(), outcome=st.sampled_from(["delivered", "retry", "dead"]))
    def settle(self, data: st.DataObject, outcome: str) -> None:
        claim = self.deliveries.pop(data.draw(st.integers(0, len(self.deliveries) - 1)))
        known = self.known[claim.prediction_id]
        valid = known.leased
        result = attempt_of(
            claim,
            retry_delay_ms=0 if outcome == "retry" else None,
            dead_reason=DeadReason.ATTEMPTS_EXHAUSTED if outcome == "dead" else None,
        )
        assert self.run(self.store.settle_deliveries(0, [result])) == [valid]
        if valid:
            known.leased = False
            if outcome != "retry":
                self._end_delivery(claim.prediction_id, dead=outcome == "dead")

    def _end_delivery(self, prediction_id: str, *, dead: bool) -> None:
        known = self.known[prediction_id]
        known.delivery = DeliveryState.DEAD if dead else DeliveryState.DELIVERED
        known.dead, known.leased = dead, False
        self._leave_lane(prediction_id)

    @rule()
    def kill(self) -> None:
        expected = 0
        while due := [
            each for each, known in self.known.items() if self._is_due(each) or known.leased
        ]:
            for prediction_id in due:
                self._end_delivery(prediction_id, dead=True)
            expected += len(due)
        # A lease of before does not come alive again with a redriven letter.
        self.deliveries.clear()
        killed = self.run(self.store.kill_deliveries(0, _KEY, DeadReason.CALLBACK_DELETED, 10_000))
        assert killed == expected

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def redrive(self, data: st.DataObject) -> None:
        prediction_id = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[prediction_id]
        assert self.run(self.store.redrive([prediction_id])) == [known.dead]
        if known.dead:
            known.dead = False
            if known.poison:
                known.poison = False
                known.state, known.delivery = State.QUEUED, DeliveryState.NONE
            else:
                known.delivery = DeliveryState.PENDING

    @rule(most=st.integers(1, 50))
    def publish_and_sweep(self, most: int) -> None:
        self.run(self.store.publish(0, most))
        # Nothing is due by time here.
        assert self.run(self.store.sweep(0)) == 0

    @invariant()
    def counts_are_those_of_the_model(self) -> None:
        counts = self.run(self.store.counts(0))
        known = list(self.known.values())
        for state in State:
            assert counts.states[state] == sum(each.state is state for each in known)
        pending = sum(each.delivery is DeliveryState.PENDING for each in known)
        assert counts.deliveries_pending == pending
        assert counts.dead_letters == sum(each.dead for each in known)

    @invariant()
    def the_streams_hold_what_waits_and_runs_and_nothing_else(self) -> None:
        waiting = running = entries = 0
        for known in self.known.values():
            waiting += known.state is State.QUEUED and not known.waits
            running += known.state is State.RUNNING
        pending = 0
        for priority in (1, 2, 3, 4):
            key = f"tailrace:{{q0}}:queue:{priority}"
            entries += self.raw.xlen(key)
            if self.raw.exists(key) and self.raw.xinfo_groups(key):
                pending += self.raw.xpending(key, "dispatchers")["pending"]
        assert (entries, pending) == (waiting + running, running)

    @invariant()
    def every_submission_is_as_in_the_model(self) -> None:
        ids = list(self.known)
        found = self.run(self.store.get(ids, outcomes=True))
        for prediction_id, kept in zip(ids, found, strict=True):
            known = self.known[prediction_id]
            assert kept is not None
            assert (kept.state, kept.delivery_state) == (known.state, known.delivery)
            assert bool(kept.outcome) == known.state.is_final


def test_the_queue_does_what_its_model_does(queue_redis: LocalRedis) -> None:
    QueueMachine.server = queue_redis
    run_machine(
        QueueMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
