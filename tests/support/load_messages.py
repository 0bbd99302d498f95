"""Messages and descriptors of `load_protos/echo.proto`, made when they are first wanted."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

LOAD_PROTOS = Path(__file__).parent / "load_protos"
ECHO_PROTO = LOAD_PROTOS / "echo.proto"
SERVICE = "test.load.EchoService"


@cache
def echo_files() -> bytes:
    """Returns a serialised FileDescriptorSet of the service: what a protoset file holds."""
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "echo.protoset")
        arguments = [f"--proto_path={LOAD_PROTOS}", f"--descriptor_set_out={written}"]
        assert protoc.main(["protoc", *arguments, "--include_imports", "echo.proto"]) == 0
        return written.read_bytes()


@cache
def echo_pool() -> DescriptorPool:
    """Returns a pool that holds the service."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(echo_files()).file:
        pool.Add(file)
    return pool


@cache
def message_class(name: str) -> Any:
    """Returns the class of a message, such as `EchoRequest`."""
    return GetMessageClass(echo_pool().FindMessageTypeByName(f"test.load.{name}"))


def echo_request(**fields: Any) -> bytes:
    """Returns a serialised EchoRequest."""
    serialised: bytes = message_class("EchoRequest")(**fields).SerializeToString()
    return serialised


def echo_response(payload: bytes) -> Any:
    """Returns the EchoResponse in these bytes."""
    return message_class("EchoResponse").FromString(payload)
