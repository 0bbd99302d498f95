"""`python -m tailrace.loadtest.bench.plain_chain HOP ...`: one process of the plain chain."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

import grpc.aio
import uvloop

from tailrace.loadtest.bench.plain_chain.flight_row import read_model
from tailrace.loadtest.bench.plain_chain.hops import (
    Hop,
    features_hop,
    gateway_hop,
    inference_hop,
    ingest_hop,
    postprocess_hop,
)
from tailrace.v1 import prediction_service_pb2, tensor_pb2

HOPS = ("ingest", "features", "inference", "postprocess")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tailrace.loadtest.bench.plain_chain")
    parser.add_argument("hop", choices=[*HOPS, "gateway"])
    parser.add_argument("--pipelines", type=Path, required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    parser.add_argument("--redis-url", default="")
    parser.add_argument("--triton", default="")
    parser.add_argument("--target", action="append", default=[], metavar="HOP=HOST:PORT")
    return parser.parse_args()


def _build(arguments: argparse.Namespace) -> Hop:
    model = read_model(arguments.pipelines)
    match arguments.hop:
        case "ingest":
            return ingest_hop(model)
        case "features":
            return features_hop(model, arguments.redis_url)
        case "inference":
            return inference_hop(model, arguments.triton)
        case "postprocess":
            return postprocess_hop(model)
        case _:
            return gateway_hop(dict(target.split("=", 1) for target in arguments.target))


async def _serve(arguments: argparse.Namespace) -> None:
    takes_requests = arguments.hop in ("gateway", "ingest", "features")
    request_type = prediction_service_pb2.PredictRequest if takes_requests else tensor_pb2.Tensor
    handler = grpc.unary_unary_rpc_method_handler(
        _build(arguments),
        request_deserializer=request_type.FromString,
        response_serializer=tensor_pb2.Tensor.SerializeToString,
    )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("plain.Hop", {"Call": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    partial = arguments.ready_file.with_suffix(".partial")
    partial.write_text(str(port))
    partial.replace(arguments.ready_file)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await server.stop(1.0)


if __name__ == "__main__":
    uvloop.run(_serve(_parse()))
