"""The chain: ingest and features, then inference, then postprocess, under one deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.features.defaults import default_blocks
from tailrace.gateway.budget import HopBudgets
from tailrace.gateway.convoy import Convoy, Degradation
from tailrace.gateway.hop_account import HopAccount
from tailrace.gateway.hop_caller import HopCaller
from tailrace.gateway.hop_port import HopPort, HopRequest
from tailrace.gateway.lookup_keys import LookupKeys
from tailrace.gateway.passing import HopColumns, join_columns
from tailrace.gateway.predictions import FAILED
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import Code, DeadlineExceeded, Internal, Reason, TailraceError
from tailrace.runtime.hop_answer import HopAnswer, PassedBlock
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.wire import block_rows
from tailrace.v1 import ledger_pb2, prediction_service_pb2


@dataclass(frozen=True, slots=True)
class HopPorts:
    """Where the four hops are."""

    ingest: HopPort
    features: HopPort
    inference: HopPort
    postprocess: HopPort


class Chain:
    """Takes convoys of one pipeline version through its hops.

    Rows that fail leave at once; the rest go on. Nothing is started for rows whose deadline
    has passed, or of which less is left than the hop's floor and the reserve for the hops
    after it.
    """

    def __init__(
        self, pipeline: Pipeline, ports: HopPorts, callers: Mapping[str, HopCaller]
    ) -> None:
        """Keeps the parts.

        Args:
            pipeline: the version to serve.
            ports: where the hops are.
            callers: one per hop, shared by all pipelines.
        """
        self.pipeline = pipeline
        self._ports = ports
        self._callers = callers
        self._accounts = {hop: HopAccount(pipeline, hop) for hop in callers}
        self._budgets = HopBudgets(pipeline.spec.budgets)
        self._features_here = ports.features.placement == ledger_pb2.PLACEMENT_LOCAL
        self._keys = LookupKeys(pipeline, as_messages=not self._features_here)
        self._model_columns = pipeline.model_columns()

    async def run(self, convoy: Convoy) -> None:
        """Fills the convoy with predictions and errors. Every row ends with one or the other."""
        try:
            columns = await self._prepare(convoy)
            columns = await self._infer(convoy, columns)
            await self._postprocess(convoy, columns)
        except TailraceError as error:
            convoy.fail(list(range(len(convoy.rows))), error)

    # -- ingest and features ---------------------------------------------------------------

    async def _prepare(self, convoy: Convoy) -> HopColumns:
        after_ingest = ("inference", "postprocess")
        rows = self._affordable(convoy, "ingest", convoy.live(), after_ingest)
        start_ns = time.monotonic_ns()
        if not self.pipeline.views:
            return await self._ingest(convoy, rows, start_ns, after_ingest)
        if not self.pipeline.features_beside_ingest:
            ingested = await self._ingest(convoy, rows, start_ns, ("features", *after_ingest))
            rows = self._rows_to_look_up(convoy, after_ingest)
            keys = self._keys.blocks(convoy.members(rows), ingested.decode(rows))
            features = await self._features(convoy, rows, keys, time.monotonic_ns(), 1)
            return join_columns(convoy.live(), ingested, features)
        keys = self._keys.blocks(convoy.members(rows), None)
        lookup = asyncio.ensure_future(self._features(convoy, rows, keys, start_ns, 0))
        if self._features_here:
            # Its command is on its way to the store before ingest keeps this thread busy.
            await asyncio.sleep(0)
        try:
            ingested = await self._ingest(convoy, rows, start_ns, after_ingest)
            if convoy.live():
                features = await lookup
                return join_columns(convoy.live(), ingested, features)
            return ingested
        finally:
            if not lookup.done():
                lookup.cancel()
                await asyncio.wait([lookup])
            if not lookup.cancelled():
                lookup.exception()  # told already by the row's own error, or raised above

    def _rows_to_look_up(self, convoy: Convoy, hops_after: Sequence[str]) -> list[int]:
        rows = convoy.live()
        if rows and self.pipeline.spec.features.on_failure == "defaults":
            # Without the time for a lookup there are still the defaults.
            return rows
        return self._affordable(convoy, "features", rows, hops_after)

    async def _ingest(
        self, convoy: Convoy, rows: list[int], start_ns: int, hops_after: Sequence[str]
    ) -> HopColumns:
        request = HopRequest(convoy, rows)
        answer = await self._call("ingest", self._ports.ingest, request, start_ns, hops_after, 0)
        return self._outcome(request, "ingest", answer)

    async def _features(
        self,
        convoy: Convoy,
        rows: list[int],
        keys: Sequence[PassedBlock],
        start_ns: int,
        group: int,
    ) -> HopColumns:
        hops_after = ("inference", "postprocess")
        request = HopRequest(convoy, rows, keys)
        try:
            answer = await self._call(
                "features", self._ports.features, request, start_ns, hops_after, group
            )
            self._refuse_late(answer, len(rows))
        except TailraceError as error:
            if not self._degrades(error):
                raise
            return self._default_features(convoy, rows, error)
        convoy.views, convoy.view_rows = answer.views, rows
        return self._outcome(request, "features", answer)

    def _degrades(self, error: TailraceError) -> bool:
        return self.pipeline.spec.features.on_failure == "defaults" and error.code in (
            Code.UNAVAILABLE,
            Code.DEADLINE_EXCEEDED,
            Code.RESOURCE_EXHAUSTED,
            Code.INTERNAL,
            Code.UNKNOWN,
        )

    def _default_features(
        self, convoy: Convoy, rows: list[int], error: TailraceError
    ) -> HopColumns:
        convoy.degradations.append(
            Degradation(
                prediction_service_pb2.QUALITY_DEFAULT_FEATURES,
                f"{FAILED}{error.reason.name}",
                frozenset(rows),
            )
        )
        blocks = [
            block for plan in self.pipeline.views for block in default_blocks(plan, len(rows))
        ]
        return HopColumns(rows, blocks)

    # -- inference and postprocess ---------------------------------------------------------

    async def _infer(self, convoy: Convoy, columns: HopColumns) -> HopColumns:
        rows = self._affordable(convoy, "inference", convoy.live(), ("postprocess",))
        start_ns = time.monotonic_ns()
        request = HopRequest(convoy, rows, columns.read_by(self._model_columns).take(rows))
        answer = await self._call(
            "inference", self._ports.inference, request, start_ns, ("postprocess",), 2
        )
        convoy.model_name, convoy.model_rows = answer.model_name, rows
        convoy.model_versions = answer.model_versions
        outputs = self._outcome(request, "inference", answer)
        if not self.pipeline.carried_columns:
            return outputs
        carried = columns.select(self.pipeline.carried_columns)
        return join_columns(convoy.live(), outputs, carried)

    async def _postprocess(self, convoy: Convoy, columns: HopColumns) -> None:
        rows = self._affordable(convoy, "postprocess", convoy.live(), ())
        start_ns = time.monotonic_ns()
        request = HopRequest(convoy, rows, columns.take(rows))
        answer = await self._call("postprocess", self._ports.postprocess, request, start_ns, (), 3)
        outcome = self._outcome(request, "postprocess", answer)
        if not outcome.blocks and convoy.live():
            raise Internal("postprocess answered without a prediction")
        convoy.prediction_rows, convoy.prediction_blocks = outcome.rows, outcome.blocks

    # -- budgets ---------------------------------------------------------------------------

    def _affordable(
        self, convoy: Convoy, hop: str, rows: list[int], hops_after: Sequence[str]
    ) -> list[int]:
        """Returns the rows that have the hop's floor left; the others leave the convoy.

        Raises:
            DeadlineExceeded: none is left; ends the chain.
        """
        now_ns = time.monotonic_ns()
        floor_ns = self._budgets.floor_ns(hop)
        needed_ns = self._budgets.needed_ns(hop, hops_after)
        if rows and convoy.earliest_deadline_ns() - now_ns >= needed_ns:
            return rows
        kept = []
        reserve_refused = False
        for row in rows:
            remaining_ns = convoy.rows[row].deadline_ns - now_ns
            if remaining_ns >= needed_ns:
                kept.append(row)
            else:
                convoy.fail([row], _too_small(hop, remaining_ns, floor_ns), hop)
                reserve_refused |= remaining_ns >= floor_ns
        self._accounts[hop].missed(len(rows) - len(kept))
        if reserve_refused:
            self._budgets.doubt(hops_after)
        if not kept:
            raise _too_small(hop, 0, floor_ns)
        return kept

    async def _call(
        self,
        hop: str,
        port: HopPort,
        request: HopRequest,
        start_ns: int,
        hops_after: Sequence[str],
        group: int,
    ) -> HopAnswer:
        convoy, account = request.convoy, self._accounts[hop]
        spending = convoy.book.open(hop, start_ns, group, len(request.rows))
        try:
            now_ns = time.monotonic_ns()
            remaining_ns = convoy.latest_deadline_ns(request.rows) - now_ns
            spending.budget_ns = self._budgets.grant_ns(hop, remaining_ns, hops_after)
            floor_ns = self._budgets.floor_ns(hop)
            if spending.budget_ns < floor_ns:
                error = _too_small(hop, remaining_ns, floor_ns)
                spending.fail(error)
                raise error
            trace = convoy.trace
            if trace is not None and trace.sampled:
                spending.trace = trace.child()
            budget = Deadline(now_ns + spending.budget_ns)
            answer = await self._callers[hop].call(port, request, budget, floor_ns, spending)
        except TailraceError as error:
            account.failed(len(request.rows), error)
            raise
        finally:
            account.ended(spending, convoy, request.rows)
        self._budgets.observe(hop, spending.duration_ns)
        return answer

    def _refuse_late(self, answer: HopAnswer, rows: int) -> None:
        """Raises the error of the first row if the time of all rows of a lookup was over.

        A hop that begins too late says so of each row, while its budget is that of the call.
        """
        # Not a list where they are read from a message, one by one.
        answer.failures = failures = list(answer.failures)
        if len(failures) == rows and all(e.code is Code.DEADLINE_EXCEEDED for _, e in failures):
            error = failures[0][1]
            self._accounts["features"].missed(rows)
            self._accounts["features"].failed(rows, error)
            raise error

    def _outcome(self, request: HopRequest, hop: str, answer: HopAnswer) -> HopColumns:
        """Takes the rows that failed at a hop out of the convoy; returns the hop's columns.

        Raises:
            Internal: the hop answered of other rows than it was asked about.
        """
        convoy, rows = request.convoy, request.rows
        count = len(rows)
        # Left to the next hop, it would look like a fault of the caller.
        if any([block_rows(block) != count for block in answer.blocks]):
            raise Internal(f"{hop} was asked about {count} rows and answered with another number")
        for row, error in answer.failures:
            if row >= count:
                raise Internal(f"{hop} answered about row {row} of {count}")
            if error.code is Code.DEADLINE_EXCEEDED and convoy.rows[rows[row]].error is None:
                self._accounts[hop].missed(1)
            convoy.fail([rows[row]], error, hop)
        return HopColumns(rows, answer.blocks)


def _too_small(hop: str, remaining_ns: int, floor_ns: int) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"{max(remaining_ns, 0) / 1e6:.3f} ms left before {hop}, less than its floor of "
        f"{floor_ns / 1e6:.3f} ms and the reserve for the hops after it",
        reason=Reason.BUDGET_TOO_SMALL,
    )
