"""Who takes part in `make bench-mesh`, and the proof that all answer alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tailrace.loadtest.bench.agreement import largest_difference
from tailrace.loadtest.bench.flight_messages import (
    bare_request,
    bls_request,
    messages_of,
    predict_request,
    stream_request,
)
from tailrace.loadtest.bench.flights import Flight
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.loadtest.bench.generator.orders import Endpoint, Order
from tailrace.loadtest.bench.generators import Generators
from tailrace.loadtest.bench.servers import LOCAL_BACKENDS, BenchServers
from tailrace.v1 import ledger_pb2

TITLES = {
    "triton": "(a) bare Triton, model only",
    "chain": "(b) plain chain",
    "mesh": "(c) Tailrace, remote",
    "local": "(d) Tailrace, local, ONNX Runtime",
    "local_triton": "(d) Tailrace, local, Triton",
    "bls": "(e) Triton BLS model",
}
"""The contenders, in the order of the table."""

WIDE_ROWS = 32
_CHECKED_ROWS = 7 * WIDE_ROWS

_INFER = "/inference.GRPCInferenceService/ModelInfer"
_PREDICT = "/tailrace.v1.PredictionService/Predict"
_STREAM = "/tailrace.v1.PredictionService/PredictStream"
_REMOTE = int(ledger_pb2.PLACEMENT_REMOTE)
_LOCAL = int(ledger_pb2.PLACEMENT_LOCAL)
_HOPS = ("ingest", "features", "inference", "postprocess")

Serialise = Callable[[Sequence[Flight]], bytes]


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that answers flights.

    Attributes:
        name: as in the names of ratios.
        unary: one flight per call.
        wide: `WIDE_ROWS` flights per message, if it takes that.
        processes: names of the processes that work for it, beside the generator.
    """

    name: str
    unary: Endpoint
    wide: Endpoint | None
    processes: tuple[str, ...]

    @property
    def title(self) -> str:
        """As in the table."""
        return TITLES[self.name]

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Returns all ways to call it."""
        return (self.unary,) if self.wide is None else (self.unary, self.wide)


def contenders_of(servers: BenchServers, names: Sequence[str], folder: Path) -> list[Contender]:
    """Returns the contenders that were asked for, with their messages written to files.

    Args:
        servers: that are up, a variant loaded if the BLS model takes part.
        names: of the contenders.
        folder: where the messages go.
    """
    contenders = [_contender(servers, name, folder) for name in names]
    for contender in contenders:
        for endpoint in contender.endpoints():
            serialise = _serialiser(servers, contender.name, endpoint)
            messages = messages_of(servers.flights, endpoint.rows, serialise)
            messages.write(Path(endpoint.messages_file))
    return contenders


def bls_endpoint(servers: BenchServers, folder: Path) -> Endpoint:
    """Returns how to call the BLS variant that is loaded, with its messages written to a file."""
    variant = servers.rivals.variant
    assert variant is not None
    file = folder / f"{variant.name}.json"
    messages_of(servers.flights, 1, bls_request(variant.name)).write(file)
    target = servers.rivals.triton.grpc_target
    return Endpoint(target=target, method=_INFER, messages_file=str(file), answers="triton")


def _serialiser(servers: BenchServers, name: str, endpoint: Endpoint) -> Serialise:
    if name == "triton":
        return bare_request(servers.model.model)
    if name == "bls":
        assert servers.rivals.variant is not None
        return bls_request(servers.rivals.variant.name)
    return stream_request if endpoint.streams else predict_request


def _contender(servers: BenchServers, name: str, folder: Path) -> Contender:
    unary_file, wide_file = (str(folder / f"{name}-{kind}.json") for kind in ("unary", "wide"))
    if name in ("triton", "bls"):
        unary = Endpoint(
            target=servers.rivals.triton.grpc_target,
            method=_INFER,
            messages_file=unary_file,
            answers="triton",
            calibration=servers.model.platt if name == "triton" else None,
        )
        wide = replace(unary, messages_file=wide_file, rows=WIDE_ROWS)
        processes = ("rivals' triton", *(("redis",) if name == "bls" else ()))
        return Contender(name, unary, wide, processes)
    if name == "chain":
        assert servers.chain is not None
        unary = Endpoint(
            target=servers.chain.target,
            method="/plain.Hop/Call",
            messages_file=unary_file,
            answers="chain",
        )
        own = tuple(f"plain {hop}" for hop in servers.chain.processes)
        return Contender(name, unary, None, (*own, "rivals' triton", "redis"))
    if name in LOCAL_BACKENDS:
        target, placement = servers.gateways[name].target, _LOCAL
        triton = ("triton",) if LOCAL_BACKENDS[name] == "triton" else ()
        processes = (f"{name} gateway", "redis", *triton)
    else:
        target, placement = servers.mesh.gateway_target, _REMOTE
        processes = ("gateway", *_HOPS, "redis", "triton")
    unary = Endpoint(
        target=target,
        method=_PREDICT,
        messages_file=unary_file,
        answers="mesh",
        placement=placement,
    )
    wide = replace(
        unary, method=_STREAM, messages_file=wide_file, answers="mesh_stream", rows=WIDE_ROWS
    )
    return Contender(name, unary, wide, processes)


async def check_scores(
    contenders: Sequence[Contender], reference: Endpoint, generators: Generators
) -> float:
    """Returns the largest difference between any two ways to ask for the same flights.

    From here on the generators compare a sample of all answers with the reference's.

    Args:
        contenders: who is asked, in every way that they take.
        reference: a wide endpoint, whose scores are expected of all.
        generators: ask.

    Raises:
        RuntimeError: two differ by more than the tolerance: they do not do the same work.
    """
    messages = len(Messages.read(Path(reference.messages_file)).data)
    expected = await generators.scores(Order(work="scores", endpoint=reference, messages=messages))
    scores = {"reference": expected[:_CHECKED_ROWS]}
    for contender in contenders:
        for endpoint in contender.endpoints():
            count = _CHECKED_ROWS // endpoint.rows
            order = Order(work="scores", endpoint=endpoint, messages=count)
            scores[f"{contender.name}, {endpoint.rows} rows"] = await generators.scores(order)
            _expect(endpoint, expected)
    return largest_difference(scores)


def _expect(endpoint: Endpoint, expected: Sequence[float]) -> None:
    file = Path(endpoint.messages_file)
    data = Messages.read(file).data[: len(expected) // endpoint.rows]
    rows = endpoint.rows
    by_message = [expected[place * rows : (place + 1) * rows] for place in range(len(data))]
    Messages(data, by_message).write(file)
