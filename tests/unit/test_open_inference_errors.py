"""Two callers of the Open Inference Protocol whose rows fail together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import service_pb2

from tailrace.gateway.convoy_control import ConvoyBounds
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.open_inference import OpenInferenceServicer
from tailrace.gateway.predictor import Predictor
from tailrace.runtime.config import GatewaySettings
from tailrace.runtime.errors import Code, Reason, TailraceError, Unavailable
from tests.support.simulated_hops import OnePipeline, SimulatedChain
from tests.support.written_pipeline import written_pipeline

MS = 1_000_000


def _one_pipeline(folder: Path) -> OnePipeline:
    world = SimulatedChain(lambda hop, rows: (0.0, Unavailable("gone", field="f")))
    return OnePipeline(
        ConvoyFormer(
            world.chain(written_pipeline(folder)),
            ConvoyBounds(8, 2, 5 * MS, 500 * MS, 100, 1_000_000),
        )
    )


class _Context:
    def invocation_metadata(self) -> tuple[()]:
        return ()

    def time_remaining(self) -> float:
        return 1.0


async def test_an_error_of_several_callers_is_told_to_each_as_its_own(tmp_path: Path) -> None:
    registry: Any = _one_pipeline(tmp_path)
    servicer = OpenInferenceServicer(Predictor(registry, GatewaySettings()))
    request = service_pb2.ModelInferRequest(model_name="under-test")
    tensor = request.inputs.add(name="x", datatype="FP64", shape=[2])
    tensor.contents.fp64_contents.extend([1.0, 2.0])
    context: Any = _Context()

    async def error() -> TailraceError:
        with pytest.raises(TailraceError) as caught:
            await servicer.ModelInfer(request, context)
        return caught.value

    errors = await asyncio.gather(*[error() for _ in range(3)])
    assert [error.message for error in errors] == ["f: row 0: gone"] * 3
    assert {(error.code, error.reason) for error in errors} == {
        (Code.UNAVAILABLE, Reason.HOP_UNAVAILABLE)
    }
