"""Which way to call Triton costs least: `python -m tailrace.loadtest.bench.triton_client`.

Three ways against one real Triton, in turns, in one process, one call at a time: tritonclient's
aio client, tritonclient's stubs on a channel of our own, and the inference service's backend
(the stubs, with all its checks). The model takes float32[rows, 29] and hands a column back.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2, service_pb2_grpc
from tritonclient.grpc.aio import InferenceServerClient

from tailrace.cli.local.local_triton import LocalTriton
from tailrace.inference.backend import ModelCall
from tailrace.inference.triton_backend import TritonBackend
from tailrace.runtime.columns import Array
from tailrace.runtime.config import InferenceSettings
from tailrace.runtime.deadline import Deadline

COLUMNS = 29
TIMEOUT_S = 5.0
CACHE_DIR = Path(".tailrace") / "cache"

MODEL_CONFIG = f"""
name: "pass_on"
backend: "python"
max_batch_size: 1024
input [{{ name: "features" data_type: TYPE_FP32 dims: [{COLUMNS}] }}]
output [{{ name: "score" data_type: TYPE_FP32 dims: [1] }}]
instance_group [{{ kind: KIND_CPU count: 1 }}]
"""

MODEL = """
import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        inputs = [triton.get_input_tensor_by_name(each, "features") for each in requests]
        scores = [triton.Tensor("score", each.as_numpy()[:, :1]) for each in inputs]
        return [triton.InferenceResponse([score]) for score in scores]
"""

Way = Callable[[Array], Awaitable[Array]]


@dataclass(frozen=True, slots=True)
class Slice:
    """One way's part of one repeat.

    Attributes:
        cpu_us: this process's CPU time per call, all threads, in microseconds.
        p50_us: median latency in microseconds.
    """

    cpu_us: float
    p50_us: float


def aio_client(client: InferenceServerClient) -> Way:
    """Returns calls through tritonclient's aio client."""

    async def call(features: Array) -> Array:
        given = InferInput("features", features.shape, "FP32")
        given.set_data_from_numpy(features)
        reply = await client.infer(
            "pass_on",
            [given],
            model_version="1",
            outputs=[InferRequestedOutput("score")],
            timeout=int(TIMEOUT_S * 1e6),
            client_timeout=TIMEOUT_S,
        )
        score: Array = reply.as_numpy("score")
        return score

    return call


def stubs(stub: service_pb2_grpc.GRPCInferenceServiceStub) -> Way:
    """Returns calls through tritonclient's stubs, with nothing around them."""

    async def call(features: Array) -> Array:
        request = service_pb2.ModelInferRequest(
            model_name="pass_on",
            model_version="1",
            inputs=[
                service_pb2.ModelInferRequest.InferInputTensor(
                    name="features", datatype="FP32", shape=features.shape
                )
            ],
            outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name="score")],
            raw_input_contents=[features.tobytes()],
        )
        request.parameters["timeout"].int64_param = int(TIMEOUT_S * 1e6)
        reply = await stub.ModelInfer(request, timeout=TIMEOUT_S)
        return np.frombuffer(reply.raw_output_contents[0], "<f4").reshape(reply.outputs[0].shape)

    return call


async def backend_way(backend: TritonBackend) -> Way:
    """Returns calls through the inference service's backend."""
    metadata = await backend.metadata("pass_on", "1", Deadline.after_s(TIMEOUT_S))

    async def call(features: Array) -> Array:
        asked = ModelCall(metadata, {"features": features}, ("score",), Deadline.after_s(TIMEOUT_S))
        return (await backend.infer(asked)).outputs["score"]

    return call


async def measure(way: Way, features: Array, calls: int) -> Slice:
    """Returns what `calls` calls in a row took."""
    latencies_ns = []
    cpu_began_ns = time.process_time_ns()
    for _ in range(calls):
        began_ns = time.perf_counter_ns()
        await way(features)
        latencies_ns.append(time.perf_counter_ns() - began_ns)
    cpu_ns = time.process_time_ns() - cpu_began_ns
    return Slice(cpu_ns / calls / 1e3, statistics.median(latencies_ns) / 1e3)


async def compare(ways: dict[str, Way], rows: int, calls: int, repeats: int) -> Table:
    """Returns a table of medians over the repeats; ratios are within each repeat."""
    features = np.random.default_rng(1).random((rows, COLUMNS), dtype=np.float32)
    for way in ways.values():
        np.testing.assert_array_equal(await way(features), features[:, :1])
        await measure(way, features, 50)
    slices: dict[str, list[Slice]] = {name: [] for name in ways}
    for repeat in range(repeats):
        names = list(ways)
        # Nobody is always first.
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            slices[name].append(await measure(ways[name], features, calls))
    first = slices[next(iter(ways))]
    table = Table(title=f"{rows} rows, {repeats} repeats of {calls} calls")
    for heading in ("way", "CPU/call µs", "ratio", "p50 µs", "ratio"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for name, taken in slices.items():
        cpu = [one.cpu_us for one in taken]
        p50 = [one.p50_us for one in taken]
        table.add_row(
            name,
            f"{statistics.median(cpu):.0f}",
            f"{_ratio(cpu, [one.cpu_us for one in first]):.2f}",
            f"{statistics.median(p50):.0f}",
            f"{_ratio(p50, [one.p50_us for one in first]):.2f}",
        )
    return table


def _ratio(values: Sequence[float], baseline: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(values, baseline, strict=True))


async def run(target: str, calls: int, repeats: int) -> None:
    """Prints one table per batch size."""
    backend = TritonBackend(InferenceSettings(triton_url=target))
    client = InferenceServerClient(target)
    async with grpc.aio.insecure_channel(target) as channel:
        ways = {
            "tritonclient's aio client": aio_client(client),
            "its stubs, our channel": stubs(service_pb2_grpc.GRPCInferenceServiceStub(channel)),
            "TritonBackend": await backend_way(backend),
        }
        for rows in (1, 256):
            Console().print(await compare(ways, rows, calls, repeats))
    await client.close()
    await backend.close()


def main() -> None:
    """Starts a Triton of its own and measures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=200, help="calls per way and repeat")
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        version = repository / "pass_on" / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(MODEL_CONFIG)
        (version / "model.py").write_text(MODEL)
        triton = LocalTriton(
            model_repository=repository,
            models=["pass_on"],
            log_path=Path(folder) / "triton.log",
            cache_dir=CACHE_DIR.absolute(),
        )
        triton.start()
        try:
            uvloop.run(run(triton.grpc_target, arguments.calls, arguments.repeats))
        finally:
            triton.stop()


if __name__ == "__main__":
    main()
