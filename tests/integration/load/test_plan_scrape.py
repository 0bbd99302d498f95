"""What a plan reads of metrics, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.plan.scrape import Deployment, ScrapeTarget

SERVICE = """
process_cpu_seconds_total 12.5
tailrace_build_info{service="ingest",version="1",environment=""} 1.0
"""
GATEWAY = """
process_cpu_seconds_total 20.0
tailrace_build_info{service="gateway",version="1",environment=""} 1.0
tailrace_predictions_total{pipeline="a",outcome="OK",priority="normal"} 700.0
tailrace_predictions_total{pipeline="b",outcome="NOT_FOUND",priority="normal"} 50.0
tailrace_convoy_rows_sum{pipeline="a"} 700.0
tailrace_convoy_rows_count{pipeline="a"} 350.0
"""
# As Triton's: microseconds by model and version, and counters whose names do not end in `_total`.
TRITON = """
# TYPE nv_inference_compute_infer_duration_us counter
nv_inference_compute_infer_duration_us{model="m",version="1"} 2500000
# TYPE nv_inference_compute_input_duration_us counter
nv_inference_compute_input_duration_us{model="m",version="1"} 400000
nv_inference_compute_output_duration_us{model="m",version="1"} 100000
"""
REDIS = "redis_cpu_user_seconds_total 3.0\nredis_cpu_sys_seconds_total 1.0\n"


@contextlib.contextmanager
def told(text: str) -> Iterator[str]:
    """Serves metrics inside the block; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_processes_are_added_up_by_service() -> None:
    with told(SERVICE) as one, told(SERVICE) as two, told(GATEWAY) as gateway:
        reading = await Deployment([ScrapeTarget(each) for each in (one, two, gateway)]).read()
    assert reading.cpu_s == {"ingest": 25.0, "gateway": 20.0}
    assert reading.processes == {"ingest": 2, "gateway": 1}
    assert reading.predictions == 750
    assert (reading.convoy_rows, reading.convoys) == (700, 350)


async def test_triton_and_redis_tell_in_ways_of_their_own() -> None:
    with told(TRITON) as triton, told(REDIS) as redis:
        targets = [ScrapeTarget(triton), ScrapeTarget(redis, "redis")]
        reading = await Deployment(targets).read()
    assert reading.cpu_s == pytest.approx({"triton": 3.0, "redis": 4.0})


async def test_metrics_that_tell_no_cost_are_named() -> None:
    with told("up 1\n") as address:
        with pytest.raises(LoadError, match=f"{address}/metrics does not tell what"):
            await Deployment([ScrapeTarget(address)]).read()


async def test_what_are_no_metrics_is_named() -> None:
    with told("<!DOCTYPE html><title>hello</title>\n") as address:
        with pytest.raises(LoadError, match=f"{address}/metrics"):
            await Deployment([ScrapeTarget(address)]).read()


async def test_a_port_that_speaks_no_http_is_named() -> None:
    async def grpc(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # As a gRPC server greets: an HTTP/2 SETTINGS frame.
        writer.write(bytes.fromhex("000000040000000000"))
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(grpc, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(LoadError, match=f"{address}/metrics does not answer as metrics do"):
            await Deployment([ScrapeTarget(address)]).read()
