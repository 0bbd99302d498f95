"""What the gateway tells of requests whose callers go away."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tailrace.gateway.predictor import Predictor
from tailrace.runtime import telemetry_names as names
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.pipeline.spec import DeadlineSection
from tailrace.v1 import prediction_service_pb2


class _NeverDone:
    """A chain that takes its time, and a registry that knows only it."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.pipeline = SimpleNamespace(
            name="slow", version="1-abc", spec=SimpleNamespace(deadline=DeadlineSection())
        )

    async def run(self, convoy: Any) -> None:
        self.entered.set()
        await asyncio.Event().wait()

    def find(self, name: str, version: str) -> _NeverDone:
        return self

    def __contains__(self, name: object) -> bool:
        return name == "slow"


def _counted(code: str) -> float:
    labels = {"pipeline": "slow", "outcome": code}
    return REGISTRY.get_sample_value(names.PREDICTIONS_TOTAL, labels) or 0


@pytest.mark.parametrize(
    ("remaining_s", "code"), [(None, "CANCELLED"), (0.01, "DEADLINE_EXCEEDED")]
)
async def test_a_request_whose_caller_goes_away_is_told_and_counted(
    remaining_s: float | None, code: str
) -> None:
    chain: Any = _NeverDone()
    requests = [
        prediction_service_pb2.PredictRequest(pipeline="slow", request_id=name)
        for name in ("first", "second")
    ]
    before = _counted(code)
    with capture_logs() as lines:
        call = asyncio.ensure_future(
            Predictor(chain, GatewaySettings()).predict(requests, remaining_s, {})
        )
        await chain.entered.wait()
        await asyncio.sleep(remaining_s or 0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert _counted(code) - before == 2
    assert [(line[names.REQUEST_ID], line[names.ERROR_CODE]) for line in lines] == [
        ("first", code),
        ("second", code),
    ]
