"""What the benchmark calls: each contender answers one flight with a probability."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import grpc.aio
import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc import aio as triton

from tailrace.loadtest.bench.flights import Flight
from tailrace.loadtest.bench.plain_chain.flight_row import FlightModel
from tailrace.loadtest.bench.plain_chain.hops import calibrated, hop_method
from tailrace.v1 import ledger_pb2, prediction_service_pb2_grpc

TIMEOUT_S = 10.0


class Contender(Protocol):
    """Something that answers flights.

    Attributes:
        name: as in the table.
        wants_rows: whether `call` takes the row of floats, else the request.
    """

    name: str
    wants_rows: bool

    async def call(self, flight: Flight) -> float:
        """Returns the probability that the flight is late."""
        ...

    async def close(self) -> None:
        """Closes the connection."""
        ...


class BareTriton:
    """The model alone, through tritonclient: no preparation, no features, no postprocessing."""

    name = "bare Triton"
    wants_rows = True

    def __init__(self, target: str, model: FlightModel) -> None:
        """Connects to Triton; calibrates here, so that answers can be compared."""
        self._client = triton.InferenceServerClient(target)
        self._model = model

    async def call(self, flight: Flight) -> float:
        """Returns the probability that the flight is late."""
        tensor = InferInput("features", list(flight.row.shape), "FP32")
        tensor.set_data_from_numpy(flight.row)
        result = await self._client.infer(self._model.model, [tensor], client_timeout=TIMEOUT_S)
        return calibrated(float(result.as_numpy("probability")[0, 0]), *self._model.platt)

    async def close(self) -> None:
        """Closes the connection."""
        await self._client.close()


class PlainChain:
    """The plain grpc.aio chain."""

    name = "plain chain"
    wants_rows = False

    def __init__(self, target: str) -> None:
        """Connects to its gateway."""
        self._channel = grpc.aio.insecure_channel(target)
        self._method = hop_method(self._channel)

    async def call(self, flight: Flight) -> float:
        """Returns the probability that the flight is late."""
        answer = await self._method(flight.request, timeout=TIMEOUT_S)
        return float(np.frombuffer(answer.data, "<f4")[0])

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()


@dataclass(slots=True)
class Mesh:
    """The mesh, remote placement.

    Attributes:
        target: of its gateway.
        unattributed: share of each answer's time that no hop on the critical path accounts for.
    """

    target: str
    name: str = "tailrace"
    wants_rows: bool = False
    unattributed: list[float] = field(default_factory=list)
    _channel: grpc.aio.Channel = field(init=False)
    _stub: prediction_service_pb2_grpc.PredictionServiceAsyncStub = field(init=False)

    def __post_init__(self) -> None:
        """Connects to the gateway."""
        self._channel = grpc.aio.insecure_channel(self.target)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    async def call(self, flight: Flight) -> float:
        """Returns the probability that the flight is late."""
        answer = await self._stub.Predict(flight.request, timeout=TIMEOUT_S)
        ledger = answer.ledger
        if any(entry.placement != ledger_pb2.PLACEMENT_REMOTE for entry in ledger.entries):
            raise RuntimeError("a hop did not run in a service of its own")
        self.unattributed.append(ledger.unattributed_ns / ledger.total_ns)
        return answer.prediction["probability"].double_value

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()
