"""The chain: ingest and features, then inference, then postprocess, under one deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from tailrace.features.defaults import default_blocks
from tailrace.gateway.budget import HopBudgets
from tailrace.gateway.convoy import Convoy, Degradation
from tailrace.gateway.hop_caller import HopCaller
from tailrace.gateway.hop_port import HopPort, HopResponse
from tailrace.gateway.lookup_keys import LookupKeys
from tailrace.gateway.passing import HopColumns, join_columns
from tailrace.gateway.request_packing import pack_requests
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import Code, DeadlineExceeded, Internal, Reason, TailraceError
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.wire import block_to_proto, error_from_proto
from tailrace.v1 import (
    batch_pb2,
    feature_service_pb2,
    inference_service_pb2,
    ingest_service_pb2,
    postprocess_service_pb2,
    prediction_service_pb2,
    tensor_pb2,
)

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=HopResponse)


@dataclass(frozen=True, slots=True)
class HopPorts:
    """Where the four hops are."""

    ingest: HopPort[ingest_service_pb2.PreprocessRequest, ingest_service_pb2.PreprocessResponse]
    features: HopPort[
        feature_service_pb2.LookupFeaturesRequest, feature_service_pb2.LookupFeaturesResponse
    ]
    inference: HopPort[inference_service_pb2.InferRequest, inference_service_pb2.InferResponse]
    postprocess: HopPort[
        postprocess_service_pb2.PostprocessRequest, postprocess_service_pb2.PostprocessResponse
    ]


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
        self._budgets = HopBudgets(pipeline.spec.budgets)
        self._keys = LookupKeys(pipeline)

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
        request = ingest_service_pb2.PreprocessRequest(batch=convoy.header(rows))
        # Copied as bytes: taking the fields over one by one takes three times as long.
        request.MergeFromString(pack_requests([row.data for row in convoy.members(rows)]))
        response = await self._call(
            convoy, "ingest", self._ports.ingest, request, rows, start_ns, hops_after, group=0
        )
        return _outcome(convoy, "ingest", rows, response.batch)

    async def _features(
        self,
        convoy: Convoy,
        rows: list[int],
        keys: list[tensor_pb2.ColumnBlock],
        start_ns: int,
        group: int,
    ) -> HopColumns:
        hops_after = ("inference", "postprocess")
        request = feature_service_pb2.LookupFeaturesRequest(batch=convoy.header(rows))
        request.batch.blocks.extend(keys)
        try:
            response = await self._call(
                convoy,
                "features",
                self._ports.features,
                request,
                rows,
                start_ns,
                hops_after,
                group=group,
            )
        except TailraceError as error:
            if not self._degrades(error):
                raise
            return self._default_features(convoy, rows, error)
        convoy.views, convoy.view_rows = list(response.views), rows
        return _outcome(convoy, "features", rows, response.batch)

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
                f"features failed: {error.reason.name}",
                frozenset(rows),
            )
        )
        blocks = [
            block_to_proto(block)
            for plan in self.pipeline.views
            for block in default_blocks(plan, len(rows))
        ]
        return HopColumns(rows, blocks)

    # -- inference and postprocess ---------------------------------------------------------

    async def _infer(self, convoy: Convoy, columns: HopColumns) -> HopColumns:
        rows = self._affordable(convoy, "inference", convoy.live(), ("postprocess",))
        start_ns = time.monotonic_ns()
        request = inference_service_pb2.InferRequest(batch=convoy.header(rows))
        request.batch.blocks.extend(columns.take(rows))
        response = await self._call(
            convoy,
            "inference",
            self._ports.inference,
            request,
            rows,
            start_ns,
            ("postprocess",),
            group=2,
        )
        convoy.model_name, convoy.model_rows = response.model_name, rows
        convoy.model_versions = list(response.model_versions)
        outputs = _outcome(convoy, "inference", rows, response.batch)
        if not self.pipeline.carried_columns:
            return outputs
        carried = columns.select(self.pipeline.carried_columns)
        return join_columns(convoy.live(), outputs, carried)

    async def _postprocess(self, convoy: Convoy, columns: HopColumns) -> None:
        rows = self._affordable(convoy, "postprocess", convoy.live(), ())
        start_ns = time.monotonic_ns()
        request = postprocess_service_pb2.PostprocessRequest(batch=convoy.header(rows))
        request.batch.blocks.extend(columns.take(rows))
        response = await self._call(
            convoy, "postprocess", self._ports.postprocess, request, rows, start_ns, (), group=3
        )
        outcome = _outcome(convoy, "postprocess", rows, response.batch)
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
                convoy.rows[row].error = _too_small(hop, remaining_ns, floor_ns)
                reserve_refused |= remaining_ns >= floor_ns
        if reserve_refused:
            self._budgets.doubt(hops_after)
        if not kept:
            raise _too_small(hop, 0, floor_ns)
        return kept

    async def _call(
        self,
        convoy: Convoy,
        hop: str,
        port: HopPort[Request, Response],
        request: Request,
        rows: list[int],
        start_ns: int,
        hops_after: Sequence[str],
        *,
        group: int,
    ) -> Response:
        spending = convoy.book.open(hop, start_ns, group)
        now_ns = time.monotonic_ns()
        remaining_ns = convoy.latest_deadline_ns(rows) - now_ns
        spending.budget_ns = self._budgets.grant_ns(hop, remaining_ns, hops_after)
        floor_ns = self._budgets.floor_ns(hop)
        if spending.budget_ns < floor_ns:
            error = _too_small(hop, remaining_ns, floor_ns)
            spending.finish(error.code)
            raise error
        budget = Deadline(now_ns + spending.budget_ns)
        response = await self._callers[hop].call(port, request, budget, floor_ns, spending)
        self._budgets.observe(hop, spending.duration_ns)
        return response


def _too_small(hop: str, remaining_ns: int, floor_ns: int) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"{max(remaining_ns, 0) / 1e6:.3f} ms left before {hop}, less than its floor of "
        f"{floor_ns / 1e6:.3f} ms and the reserve for the hops after it",
        reason=Reason.BUDGET_TOO_SMALL,
    )


def _outcome(convoy: Convoy, hop: str, rows: list[int], batch: batch_pb2.Batch) -> HopColumns:
    """Takes the rows that failed at a hop out of the convoy; returns the hop's columns.

    Raises:
        Internal: the hop answered of other rows than it was asked about.
    """
    count = len(rows)
    # Left to the next hop, it would look like a fault of the caller.
    if any(block.values.shape[1:2] != [count] for block in batch.blocks):
        raise Internal(f"{hop} was asked about {count} rows and answered with another number")
    for failure in batch.rows.errors:
        if failure.row >= count or not 1 <= failure.code <= Code.UNAUTHENTICATED:
            raise Internal(f"{hop} answered with code {failure.code} for row {failure.row}")
        convoy.fail([rows[failure.row]], error_from_proto(failure))
    return HopColumns(rows, list(batch.blocks))
