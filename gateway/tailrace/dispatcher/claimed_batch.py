"""Submissions that run together: from their claims until what came of each is in the queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from tailrace.dispatcher.result_writer import ResultWriter, tell_fenced
from tailrace.dispatcher.rows import Registry, convoy_row, read_claims, run_trace
from tailrace.dispatcher.verdicts import Trouble, Verdicts, given_back, trouble_of
from tailrace.gateway.arrival import Arrival, RefusedRow
from tailrace.gateway.convoy import ConvoyRow, Outcome
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.outcome_account import OutcomeAccount
from tailrace.gateway.predictor import OTHER_PIPELINE
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.errors import Cancelled, Code, TailraceError
from tailrace.runtime.logs import failure_fields
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.submissions.records import Claim, RunPostponed, RunResult, State

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BatchParts:
    """What all batches share.

    Attributes:
        registry: the entrance of every pipeline version.
        account: takes note of every outcome.
        verdicts: says what becomes of it.
        writer: writes that into the queue.
        connected: says whether all hops are there.
        deadline_ms: of a run; None means the pipeline's longest.
    """

    registry: Registry
    account: OutcomeAccount
    verdicts: Verdicts
    writer: ResultWriter
    connected: Callable[[], bool]
    deadline_ms: int | None


class ClaimedBatch:
    """Some claims of one partition.

    Attributes:
        partition: which.
        begun_ns: when it began to run, on the monotonic clock; 0 before.
        succeeded: how many have a prediction.
        unanswered: how many failed of what may pass, and is not an overload.
        overloaded: how many were refused by a full queue.
        queue_ns: longest that they waited at a hop.
    """

    def __init__(
        self, partition: int, claims: Sequence[Claim], parts: BatchParts, *, alone: bool = False
    ) -> None:
        """Has not begun.

        Args:
            partition: of all claims.
            claims: at least one.
            parts: what all batches share.
            alone: whether nothing runs beside it.
        """
        self.partition = partition
        self.begun_ns = self.succeeded = self.unanswered = self.overloaded = self.queue_ns = 0
        self._claims = list(claims)
        self._parts = parts
        self._connected = False
        self._alone = alone and len(claims) == 1
        # By place: what has no outcome in the queue yet.
        self._held = dict(enumerate(claims))
        self._writing: frozenset[int] = frozenset()
        self._rows: dict[int, ConvoyRow] = {}
        self._traces: dict[int, TraceContext] = {}
        self._ready: list[tuple[int, Outcome]] = []
        self._news = asyncio.Event()
        self._stopping = False

    def __len__(self) -> int:
        """Returns the number of claims."""
        return len(self._claims)

    @property
    def held(self) -> list[Claim]:
        """The claims whose leases are to be kept."""
        return list(self._held.values())

    async def run(self) -> None:
        """Returns once the queue has an outcome of every claim, or another has the claim."""
        self.begun_ns = time.monotonic_ns()
        self._connected = self._parts.connected()
        # Others may have some of them by now: those that run alone wait for their turn.
        held = dict(self._held)
        found = await read_claims(list(held.values()), self._parts.registry)
        arrival = Arrival(self._parts.account, self._take)
        groups: dict[ConvoyFormer, list[ConvoyRow]] = {}
        for (place, claim), each in zip(held.items(), found, strict=True):
            if place not in self._held:
                continue
            if isinstance(each, TailraceError):
                trace = self._traces[place] = run_trace(claim)
                arrival.refuse(
                    RefusedRow(
                        OTHER_PIPELINE, claim.prediction_id, self.begun_ns, place, each, trace
                    )
                )
                continue
            request, former = each
            row = convoy_row(claim, request, former, self.begun_ns, self._parts.deadline_ms)
            self._rows[place], self._traces[place] = row, row.trace
            arrival.add(row, place)
            groups.setdefault(former, []).append(row)
        for former, rows in groups.items():
            former.submit(rows)
        arrival.watch()
        if self._stopping:
            self.stop()
        await self._write_all()
        # Rows point back here: collecting such rings takes longer than opening them.
        self._rows.clear()

    async def give_back(self) -> None:
        """Gives back what has not begun to run."""
        held, self._held = self.held, {}
        await self._parts.writer.write(self.partition, (), [given_back(claim) for claim in held])

    def lose(self, prediction_ids: frozenset[str]) -> None:
        """Notes that others have some of the claims: what they come to here is not written."""
        # What is being written is the queue's to refuse.
        lost = [
            place
            for place, claim in self._held.items()
            if claim.prediction_id in prediction_ids and place not in self._writing
        ]
        for place in lost:
            del self._held[place]
            row = self._rows.get(place)
            if row is not None:
                row.leave(Cancelled("the lease has ended"))
        tell_fenced(self.partition, [self._claims[place].prediction_id for place in lost])
        self._news.set()

    def stop(self) -> None:
        """Ends what runs; it is given back, to run elsewhere at once."""
        self._stopping = True
        for row in self._rows.values():
            row.leave(Cancelled("the dispatcher is to end"))

    def _take(self, place: int, request_id: str, outcome: Outcome) -> None:
        self._ready.append((place, outcome))
        self._news.set()

    async def _write_all(self) -> None:
        while self._held:
            await self._news.wait()
            self._news.clear()
            ready, self._ready = self._ready, []
            await self._write([(place, outcome) for place, outcome in ready if place in self._held])

    async def _write(self, ready: Sequence[tuple[int, Outcome]]) -> None:
        results: list[RunResult] = []
        postponed: list[RunPostponed] = []
        reasons: list[str] = []
        for place, outcome in ready:
            verdict = self._judge(self._claims[place], outcome, self._traces[place])
            if isinstance(verdict, RunResult):
                results.append(verdict)
            else:
                postponed.append(verdict)
                assert isinstance(outcome, TailraceError)
                reasons.append(outcome.reason.name)
        if ready and not isinstance(ready[-1][1], TailraceError):
            entries = ready[-1][1].ledger.entries
            self.queue_ns = max([self.queue_ns, *(entry.queue_ns for entry in entries)])
        self._writing = frozenset([place for place, _ in ready])
        await self._parts.writer.write(self.partition, results, postponed, reasons)
        for place in self._writing:
            del self._held[place]
        self._writing = frozenset()

    def _judge(
        self, claim: Claim, outcome: Outcome, trace: TraceContext
    ) -> RunResult | RunPostponed:
        if self._stopping and isinstance(outcome, Cancelled):
            return given_back(claim)
        verdict = self._parts.verdicts.judge(
            claim, outcome, connected=self._connected, alone=self._alone
        )
        if not isinstance(outcome, TailraceError):
            self.succeeded += 1
            return verdict
        if outcome.code is Code.RESOURCE_EXHAUSTED:
            self.overloaded += 1
        elif trouble_of(outcome) is not Trouble.LASTING:
            self.unanswered += 1
        _tell(claim, trace, outcome, verdict)
        return verdict


def _tell(
    claim: Claim, trace: TraceContext, error: TailraceError, verdict: RunResult | RunPostponed
) -> None:
    fields = {
        names.TRACE_ID: trace.trace_id,
        names.SPAN_ID: trace.span_id,
        names.PREDICTION_ID: claim.prediction_id,
        names.RUN_ATTEMPT: claim.run_attempts,
        **failure_fields(error),
    }
    if isinstance(verdict, RunPostponed):
        _log.warning("submission postponed", **{names.DELAY_MS: verdict.delay_ms}, **fields)
    elif verdict.state is State.FAILED:
        _log.warning("submission failed", **fields)
