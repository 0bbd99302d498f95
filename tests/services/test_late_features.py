"""Features that begin too late: the pipeline says whether defaults stand in for them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

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
from tailrace.v1 import ledger_pb2, prediction_service_pb2
from tests.support.feature_world import view, write_pipeline


class LateHop:
    """A hop in this process that is begun when its time is over."""

    placement = ledger_pb2.PLACEMENT_LOCAL

    def __init__(self, hop: LocalHop) -> None:
        self._hop = hop

    async def call(self, request: HopRequest, timeout_s: float) -> HopAnswer:
        return await self._hop.call(request, 0.0)


class LastHop:
    """Stands for the model's hop: keeps the columns that came so far."""

    placement = ledger_pb2.PLACEMENT_LOCAL

    def __init__(self) -> None:
        self.blocks: Any = None

    async def call(self, request: HopRequest, timeout_s: float) -> HopAnswer:
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


@pytest.mark.parametrize("on_failure", ["defaults", "fail"])
async def test_a_lookup_begun_too_late_degrades_where_the_pipeline_says_so(
    tmp_path: Path, fresh_redis: LocalRedis, on_failure: str
) -> None:
    folder = write_pipeline(tmp_path, [view("thing", {"a": "float64"}, defaults={"a": -1})])
    file = folder / "p.yaml"
    text = file.read_text()
    file.write_text(text.replace("features:\n", f"features:\n  on_failure: {on_failure}\n", 1))
    loaded = load_directory(folder)
    assert not loaded.errors
    lookups = features.build(
        FeaturesSettings(pipelines_dir=folder, feature_redis_url=fresh_redis.url)
    )
    steps = ingest.build(IngestSettings(pipelines_dir=folder))
    parts: list[HopParts[Any, Any]] = [lookups, steps]
    for each in parts:
        each.registry.load()
    last = LastHop()
    ports: dict[str, HopPort] = {
        "ingest": LocalHop(steps.answer, reads_requests=True),
        "features": LateHop(LocalHop(lookups.answer)),
        "inference": last,
        "postprocess": last,
    }
    chain = Chain(
        loaded.pipelines["p"], HopPorts(**ports), {hop: HopCaller(hop, 1) for hop in ports}
    )
    convoy = convoy_of(loaded.pipelines["p"])
    try:
        await chain.run(convoy)
    finally:
        for each in parts:
            await each.close()
    codes = {row.error.code for row in convoy.rows if row.error is not None}
    if on_failure == "fail":
        assert codes == {Code.DEADLINE_EXCEEDED}
        assert last.blocks is None
        return
    assert codes == {Code.INTERNAL}  # that of the hop after it
    (degradation,) = convoy.degradations
    assert degradation.detail == f"features failed: {Reason.DEADLINE_EXCEEDED.name}"
    assert degradation.rows == {0, 1}
