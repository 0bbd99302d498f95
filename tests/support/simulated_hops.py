"""Hops that take as long, and fail as often, as a test says; their answers are worked out.

The pipeline is `written_pipeline`'s usual one: a double `x` in, `score` out. The score is x.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tailrace.gateway.chain import Chain, HopPorts
from tailrace.gateway.convoy_former import ConvoyFormer
from tailrace.gateway.hop_caller import HopCaller
from tailrace.gateway.remote_hop import RemoteHop
from tailrace.runtime.columns import DType, column_block
from tailrace.runtime.errors import DeadlineExceeded, Internal, TailraceError
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.runtime.wire import block_to_proto
from tailrace.v1 import (
    inference_service_pb2,
    ingest_service_pb2,
    postprocess_service_pb2,
)

# A row with this x fails at the hop named; the others of its convoy do not.
FAILS_AT = {-1.0: "ingest", -2.0: "inference", -3.0: "postprocess"}

Behave = Callable[[str, int], tuple[float, TailraceError | None]]


@dataclass
class HopCallSeen:
    """One call of one hop.

    Attributes:
        hop: which.
        request_ids: of its rows.
        at_s: when it began, by the loop's clock.
        cancelled: whether it was cancelled.
        metadata: that came with it.
    """

    hop: str
    request_ids: list[str]
    at_s: float
    cancelled: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class SimulatedChain:
    """The hops of one chain.

    Attributes:
        behave: says, by hop and number of rows, how many seconds a call takes and how it fails.
        seen: every call, in order.
        running: calls that run, by hop.
    """

    behave: Behave
    seen: list[HopCallSeen] = field(default_factory=list)

    def chain(self, pipeline: Pipeline) -> Chain:
        """Returns the chain of a pipeline through these hops."""
        hops = ("ingest", "features", "inference", "postprocess")
        ports: dict[str, Any] = {hop: RemoteHop(hop, _SimulatedMethod(hop, self)) for hop in hops}
        return Chain(pipeline, HopPorts(**ports), {hop: HopCaller(hop, 2) for hop in hops})

    def calls(self, hop: str) -> list[HopCallSeen]:
        """Returns the calls of one hop."""
        return [call for call in self.seen if call.hop == hop]


class _SimulatedMethod:
    def __init__(self, hop: str, world: SimulatedChain) -> None:
        self._hop = hop
        self._world = world

    async def __call__(
        self,
        request: Any,
        timeout: float,  # noqa: ASYNC109  # as gRPC's
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> Any:
        rows = request.batch.rows
        seen = HopCallSeen(self._hop, list(rows.request_ids), asyncio.get_running_loop().time())
        seen.metadata = dict(metadata)
        self._world.seen.append(seen)
        takes_s, error = self._world.behave(self._hop, rows.count)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.sleep(takes_s)
        except TimeoutError as late:
            raise DeadlineExceeded(f"{self._hop} exceeded its budget") from late
        except asyncio.CancelledError:
            seen.cancelled = True
            raise
        if error is not None:
            raise error
        values = _values(self._hop, request)
        return _response(self._hop, values)


def _values(hop: str, request: Any) -> Sequence[float]:
    if hop == "ingest":
        return [fields.fields["x"].double_value for fields in request.requests]
    block = request.batch.blocks[0]
    assert list(block.names) == ["x" if hop == "inference" else "score"]
    return list(np.frombuffer(block.values.data, "<f4").tolist())


def _response(hop: str, values: Sequence[float]) -> Any:
    response: Any = {
        "ingest": ingest_service_pb2.PreprocessResponse,
        "inference": inference_service_pb2.InferResponse,
        "postprocess": postprocess_service_pb2.PostprocessResponse,
    }[hop]()
    name = "x" if hop == "ingest" else "score"
    array = np.array(values, "<f4")
    if hop == "inference":
        response.model_name, array = "model", array.reshape(-1, 1)
        response.model_versions.append("1")
    if hop == "postprocess":
        array = array.reshape(-1)
    response.batch.blocks.append(block_to_proto(column_block(name, DType.FLOAT32, array)))
    response.batch.rows.count = len(values)
    for row, value in enumerate(values):
        if FAILS_AT.get(value) == hop:
            error = Internal("as told")
            response.batch.rows.errors.add(
                row=row, code=int(error.code), reason=error.reason.value, message=error.message
            )
    return response


class OnePipeline:
    """A registry of the pipeline `under-test` alone.

    Attributes:
        former: its entrance.
    """

    def __init__(self, former: ConvoyFormer) -> None:
        """Keeps the entrance."""
        self.former = former

    def find(self, name: str, version: str = "") -> ConvoyFormer:
        """Returns the entrance, whatever is asked for."""
        return self.former

    def __contains__(self, name: object) -> bool:
        """Returns whether that is its name."""
        return name == "under-test"
