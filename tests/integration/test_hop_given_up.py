"""A service that stops gives calls up; another of its replicas may answer them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from tailrace.gateway.convoy import Convoy, ConvoyRow
from tailrace.gateway.hop_caller import HopCaller
from tailrace.gateway.hop_port import HopRequest
from tailrace.gateway.ledger import HopSpending
from tailrace.gateway.remote_hop import RemoteHop
from tailrace.gateway.served_chains import remote_ports
from tailrace.runtime.deadline import Deadline
from tailrace.runtime.errors import Reason, Unavailable
from tailrace.v1 import ingest_service_pb2, ingest_service_pb2_grpc
from tests.support.requests import predict_request
from tests.support.submission_gateway import PIPELINE
from tests.support.written_pipeline import written_pipeline


class GivesUp(ingest_service_pb2_grpc.IngestServiceServicer):
    """Gives up so many calls, and answers the others."""

    def __init__(self, count: int) -> None:
        self.left = count

    async def Preprocess(self, request: Any, context: Any) -> Any:
        self.left -= 1
        if self.left >= 0:
            await context.abort(grpc.StatusCode.CANCELLED, "")
        return ingest_service_pb2.PreprocessResponse()


@pytest.mark.parametrize("given_up", [1, 2])
async def test_what_a_replica_gives_up_is_asked_again_and_else_unavailable(
    given_up: int, tmp_path: Path
) -> None:
    asked, now_ns = predict_request(PIPELINE, {"x": 1.0}), time.monotonic_ns()
    row = ConvoyRow(
        pipeline=PIPELINE,
        request_id="a",
        fields=asked.fields,
        deadline_ns=now_ns + 10**10,
        granted_ns=10**10,
        received_ns=now_ns,
        data=asked.SerializeToString(),
    )
    request = HopRequest(Convoy(written_pipeline(tmp_path), [row]), [0])
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(GivesUp(given_up), server)
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    spending = HopSpending("ingest", now_ns, 0)
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            port = remote_ports({"ingest": channel})["ingest"]
            assert isinstance(port, RemoteHop)
            call = HopCaller("ingest", 2).call(port, request, Deadline.after_s(10), 0, spending)
            if given_up == 1:
                await call
            else:
                with pytest.raises(Unavailable, match="ingest gave the call up") as caught:
                    await call
                assert caught.value.reason is Reason.HOP_UNAVAILABLE
    finally:
        await server.stop(None)
    assert spending.attempts == 2
