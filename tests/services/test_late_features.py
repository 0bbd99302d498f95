"""Features that come too late: the pipeline says whether defaults stand in for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from tailrace.cli.local.local_redis import LocalRedis
from tailrace.features import app as features
from tailrace.gateway.chain import Chain, HopPorts
from tailrace.gateway.convoy import Convoy, ConvoyRow
from tailrace.gateway.hop_caller import HopCaller
from tailrace.gateway.hop_port import HopPort, HopRequest
from tailrace.gateway.local_hop import LocalHop
from tailrace.ingest import app as ingest
from tailrace.runtime.config import FeaturesSettings, IngestSettings
from tailrace.runtime.errors import Code, Internal, Reason
from tailrace.runtime.hop_answer import HopAnswer
from tailrace.runtime.hop_parts import HopParts
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.tracing.trace_context import TraceContext
from tailrace.v1 import ledger_pb2, prediction_service_pb2
from tests.support.feature_world import view, write_pipeline
from tests.support.redis_fixtures import StartRedis


class LateHop:
    """A hop in this process that is begun when its time is over."""

    placement = ledger_pb2.PLACEMENT_LOCAL

    def __init__(self, hop: LocalHop) -> None:
        self._hop = hop

    async def call(
        self, request: HopRequest, timeout_s: float, trace: TraceContext | None = None
    ) -> HopAnswer:
        return await self._hop.call(request, 0.0)


class LastHop:
    """Stands for the model's hop: keeps the columns that came so far."""

    placement = ledger_pb2.PLACEMENT_LOCAL

    def __init__(self) -> None:
        self.blocks: Any = None

    async def call(
        self, request: HopRequest, timeout_s: float, trace: TraceContext | None = None
    ) -> HopAnswer:
        self.blocks = request.blocks
        raise Internal("no further")


def convoy_of(pipeline: Pipeline) -> Convoy:
    now_ns = time.monotonic_ns()
    request = prediction_service_pb2.PredictRequest()
    request.fields["x"].double_value = 1.0
    request.fields["thing_id"].string_value = "a"
    rows = [
        ConvoyRow("p", f"request-{number}", request.fields, now_ns + 5 * 10**9, 5 * 10**9, now_ns)
        for number in range(2)
    ]
    return Convoy(pipeline, rows)


async def run_chain(
    folder: Path, url: str, on_failure: str, port_of: Callable[[LocalHop], HopPort]
) -> tuple[Convoy, LastHop]:
    """Sends a convoy through ingest and features; a lookup may take 50 ms."""
    directory = write_pipeline(folder, [view("thing", {"a": "float64"}, defaults={"a": -1})])
    file = directory / "p.yaml"
    policy = f"features:\n  on_failure: {on_failure}\n"
    text = file.read_text().replace("features:\n", policy, 1)
    file.write_text(text + "budgets: {features: {cap_ms: 50}}\n")
    loaded = load_directory(directory)
    assert not loaded.errors
    pipeline = loaded.pipelines["p"]
    lookups = features.build(FeaturesSettings(pipelines_dir=directory, feature_redis_url=url))
    steps = ingest.build(IngestSettings(pipelines_dir=directory))
    parts: list[HopParts[Any, Any]] = [lookups, steps]
    for each in parts:
        each.registry.load()
    last = LastHop()
    ports: dict[str, HopPort] = {
        "ingest": LocalHop(steps.answer, reads_requests=True),
        "features": port_of(LocalHop(lookups.answer)),
        "inference": last,
        "postprocess": last,
    }
    chain = Chain(pipeline, HopPorts(**ports), {hop: HopCaller(hop, 1) for hop in ports})
    convoy = convoy_of(pipeline)
    try:
        await chain.run(convoy)
    finally:
        for each in parts:
            await each.close()
    return convoy, last


def assert_late(convoy: Convoy, last: LastHop, on_failure: str) -> None:
    codes = {row.error.code for row in convoy.rows if row.error is not None}
    if on_failure == "fail":
        assert codes == {Code.DEADLINE_EXCEEDED}
        assert last.blocks is None
        return
    assert codes == {Code.INTERNAL}  # that of the hop after it
    (degradation,) = convoy.degradations
    assert degradation.detail == f"features failed: {Reason.DEADLINE_EXCEEDED.name}"
    assert degradation.rows == {0, 1}


@pytest.mark.parametrize("on_failure", ["defaults", "fail"])
async def test_a_lookup_begun_too_late_degrades_where_the_pipeline_says_so(
    tmp_path: Path, fresh_redis: LocalRedis, on_failure: str
) -> None:
    convoy, last = await run_chain(tmp_path, fresh_redis.url, on_failure, LateHop)
    assert_late(convoy, last, on_failure)


@pytest.mark.parametrize("on_failure", ["defaults", "fail"])
async def test_a_store_slower_than_the_budget_degrades_where_the_pipeline_says_so(
    tmp_path: Path, start_redis: StartRedis, on_failure: str
) -> None:
    server = start_redis()
    with redis.Redis.from_url(server.url) as client:
        # All clients but replicas wait: half a second is ten times the budget.
        client.client_pause(500, all=True)
    convoy, last = await run_chain(tmp_path, server.url, on_failure, lambda hop: hop)
    assert_late(convoy, last, on_failure)
