"""What errors look like on the wire."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import grpc.aio
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tailrace.runtime.error_mapping import MappingServer, error_of, status_of
from tailrace.runtime.errors import Code, InvalidField


@pytest.mark.parametrize("character", ["x", "é", "\N{DEVANAGARI LETTER A}", "\U00010348"])
def test_a_status_fits_into_the_headers_that_clients_accept(character: str) -> None:
    error = InvalidField(character * 5_000, field=character * 5_000)

    status = status_of(error)

    # The message as grpc-message and the status as grpc-status-details-bin, of 8 KiB in all.
    size = len(quote(status.message)) + len(status.SerializeToString()) * 4 / 3
    assert 2_000 < size < 7_500


def test_a_short_message_is_kept_as_it_is() -> None:
    status = status_of(InvalidField("größer als 5", field="fields.größe"))

    assert status.message == "größer als 5"


async def test_a_method_that_nobody_wrote_is_unimplemented() -> None:
    server = grpc.aio.server()
    servicer: Any = service_pb2_grpc.GRPCInferenceServiceServicer()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
        servicer, MappingServer(server).in_its_place()
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ModelStatistics(service_pb2.ModelStatisticsRequest(), timeout=10)
    finally:
        await server.stop(None)

    assert error_of(caught.value).code is Code.UNIMPLEMENTED
    assert "ModelStatistics" in (caught.value.details() or "")
