"""One run: everything is started, submitted to, killed, left to settle, and checked."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from tailrace.v1 import (
    callback_service_pb2,
    callback_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from tests.support.submission_world.acknowledgement_rules import loss_ages
from tests.support.submission_world.caller import Caller
from tests.support.submission_world.checker import (
    Broken,
    broken_rules,
    broken_rules_under_loss,
)
from tests.support.submission_world.delivery_rules import delivery_counts
from tests.support.submission_world.evidence import Evidence, gather, settle
from tests.support.submission_world.history import History
from tests.support.submission_world.journal import JournalReader
from tests.support.submission_world.killer import Fault, Killer, KillPlan
from tests.support.submission_world.submission_plan import TENANT, Mixture, SubmissionPlan
from tests.support.submission_world.world import SubmissionWorld, WorldSettings

_JOURNAL_POLL_S = 0.02
_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a run is.

    Attributes:
        seed: of everything that is drawn.
        callers: clients that submit at once.
        most_undelivered: above so many, they wait.
        world: its processes.
        kills: what is done to them.
        mixture: what is submitted.
        loss_window_s: what the end of the queue's machine may cost, in seconds; 0 for nothing.
    """

    seed: int
    callers: int = 6
    most_undelivered: int = 400
    world: WorldSettings = WorldSettings()
    kills: KillPlan = KillPlan()
    mixture: Mixture = Mixture()
    loss_window_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What came of a run.

    Attributes:
        history: what its callers saw.
        evidence: what was there in the end.
        faults: what was done.
        broken: what breaks a rule.
        loss_window_s: as in the settings.
    """

    history: History
    evidence: Evidence
    faults: Sequence[Fault]
    broken: Sequence[Broken]
    loss_window_s: float

    def figures(self) -> dict[str, Any]:
        """Returns counts, for people."""
        submissions = self.history.submissions
        ends = [fault.at for fault in self.faults if fault.how == "machine"]
        ages = [age_s for _, age_s in loss_ages(self.history, ends, self.loss_window_s)]
        states = Counter(
            one.last_poll.state for one in submissions if one.acknowledged and one.last_poll
        )
        return {
            "submissions": len(submissions),
            "acknowledged": len(self.history.by_id),
            "acknowledgements": self.history.acknowledgements,
            "refused": sum(one.is_refused for one in submissions),
            "unknown": sum(one.is_unknown for one in submissions),
            "unanswered_attempts": sum(
                answer.kind == "unknown" for one in submissions for answer in one.answers
            ),
            "final_states": {str(state): count for state, count in sorted(states.items())},
            **delivery_counts(self.history),
            "dead_letters": dict(Counter(self.evidence.dead_letters.values())),
            "published": len(self.evidence.published),
            "lost": len(ages),
            "oldest_lost_s": round(max(ages, default=0.0), 3),
            "kills": dict(Counter(one.role for one in self.faults if one.how != "pause")),
            "faults": dict(Counter(one.how for one in self.faults)),
            "least_in_flight_at_a_kill": {
                "open_calls": min((one.open_calls for one in self.faults), default=0),
                "undelivered": min((one.undelivered for one in self.faults), default=0),
            },
            "broken": [asdict(rule) for rule in self.broken],
        }


async def run(settings: RunSettings, run_dir: Path) -> RunReport:
    """Returns what came of a run; all processes are gone then.

    Raises:
        AssertionError: it got stuck.
    """
    world = SubmissionWorld(run_dir, settings.seed, settings.world)
    try:
        world.start()
        return await _run(settings, world)
    finally:
        world.end()


async def _run(settings: RunSettings, world: SubmissionWorld) -> RunReport:
    rng = random.Random(settings.seed)
    history = History(settings.world.temper.never)
    journal = JournalReader(world.receiver.journal)
    enough = asyncio.Event()
    async with grpc.aio.insecure_channel(world.gateway.target, options=_CHANNEL_OPTIONS) as channel:
        predictions: Any = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        callbacks: Any = callback_service_pb2_grpc.CallbackServiceStub(channel)
        await _register(world, callbacks)
        if settings.world.notes_syncs:
            await asyncio.to_thread(world.redis.wait_synced)
        callers = [
            Caller(
                predictions,
                history,
                SubmissionPlan(random.Random(rng.random()), number, settings.mixture),
                random.Random(rng.random()),
                settings.most_undelivered,
            )
            for number in range(settings.callers)
        ]
        killer = Killer(
            world, history, settings.kills, random.Random(rng.random()), settings.loss_window_s
        )
        reading = asyncio.create_task(_read(journal, history))
        try:
            async with asyncio.TaskGroup() as group:
                for caller in callers:
                    group.create_task(caller.run(enough))
                await killer.run()
                enough.set()
            await settle(callers[0], history)
        finally:
            reading.cancel()
        await history.delivered(journal.read_new())
        evidence = await gather(predictions, callbacks, world.redis.server.url, history)
    if settings.loss_window_s:
        ends = [fault.at for fault in killer.faults if fault.how == "machine"]
        broken = broken_rules_under_loss(history, evidence, ends, settings.loss_window_s)
    else:
        broken = broken_rules(history, evidence)
    return RunReport(
        history=history,
        evidence=evidence,
        faults=killer.faults,
        broken=broken,
        loss_window_s=settings.loss_window_s,
    )


async def _register(world: SubmissionWorld, callbacks: Any) -> None:
    for plan in world.callbacks:
        request = callback_service_pb2.RegisterCallbackRequest(
            tenant=TENANT,
            name=plan.name,
            secret=plan.secret,
            spec=callback_service_pb2.CallbackSpec(
                target=world.target_of(plan),
                signature_scheme=plan.scheme.value,  # type: ignore[arg-type]  # a plain number
                max_batch=plan.max_batch,
                ordered=plan.ordered,
            ),
        )
        await callbacks.RegisterCallback(request, timeout=10, wait_for_ready=True)


async def _read(journal: JournalReader, history: History) -> None:
    while True:
        await asyncio.sleep(_JOURNAL_POLL_S)
        found = journal.read_new()
        if found:
            await history.delivered(found)
