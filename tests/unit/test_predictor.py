"""What the gateway tells of requests whose callers go away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tailrace.gateway.convoy_control import ConvoyBounds
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.predictor import Predictor
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import GatewaySettings
from tailrace.v1 import prediction_service_pb2
from tests.support.simulated_hops import OnePipeline, SimulatedChain
from tests.support.written_pipeline import written_pipeline

MS = 1_000_000
BOUNDS = ConvoyBounds(8, 2, 5 * MS, 500 * MS, 100, 1_000_000)


def _one_pipeline(folder: Path) -> OnePipeline:
    world = SimulatedChain(lambda hop, rows: (3600.0, None))
    return OnePipeline(ConvoyFormer(world.chain(written_pipeline(folder)), BOUNDS))


def _counted(code: str) -> float:
    labels = {"pipeline": "under-test", "outcome": code}
    return REGISTRY.get_sample_value(names.PREDICTIONS_TOTAL, labels) or 0


@pytest.mark.parametrize(
    ("remaining_s", "code"), [(None, "CANCELLED"), (0.01, "DEADLINE_EXCEEDED")]
)
async def test_a_request_whose_caller_goes_away_is_told_and_counted(
    tmp_path: Path, remaining_s: float | None, code: str
) -> None:
    registry: Any = _one_pipeline(tmp_path)
    requests = [
        prediction_service_pb2.PredictRequest(pipeline="under-test", request_id=name)
        for name in ("first", "second")
    ]
    before = _counted(code)
    with capture_logs() as lines:
        call = asyncio.ensure_future(
            Predictor(registry, GatewaySettings()).predict(requests, remaining_s, {})
        )
        if remaining_s is None:
            await asyncio.sleep(0.005)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        else:
            outcomes: Any = await call
            assert [outcome.code.name for outcome in outcomes] == [code, code]

    assert _counted(code) - before == 2
    told = [line for line in lines if line["event"] == "prediction failed"]
    assert [(line[names.REQUEST_ID], line[names.ERROR_CODE]) for line in told] == [
        ("first", code),
        ("second", code),
    ]
