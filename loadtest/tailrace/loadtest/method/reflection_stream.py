"""One conversation with a server's reflection service.

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md. Both versions of the service have
the same messages, so one set of classes serves both.
"""

from __future__ import annotations

import time
from dataclasses import replace

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.requests.metadata_supply import reflection_metadata
from tailrace.loadtest.requests.request import Request
from tailrace.loadtest.wire import status
from tailrace.loadtest.wire.call import Call
from tailrace.loadtest.wire.channel import Channel

SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
INSTEAD = "give --proto or --protoset"
_CREDENTIALS = "--reflect-metadata sends what the server wants to see"
_ALPHA_PACKAGE = "grpc.reflection.v1alpha"
_POLL_S = 0.1


class NotServed(Exception):
    """The server does not serve this version of reflection."""


class ReflectionStream:
    """Asks a server about what it serves, over a connection of its own: a context manager."""

    def __init__(self, options: LoadOptions, service: str) -> None:
        """Describes it.

        Args:
            options: the target, TLS, and the time within which all has to be told.
            service: one of `SERVICES`.

        Raises:
            LoadError: the target is no address, or a certificate cannot be read.
        """
        self._options = replace(
            options,
            timeout=options.connect_timeout,
            lb_strategy=None,
            enable_compression=False,
            keepalive=0.0,
            max_recv_message_size=None,
            max_send_message_size=None,
        )
        self._metadata = reflection_metadata(options.reflect_metadata)
        self._channel = Channel(self._options, _method(service), connections=1)
        self._channel.on_ended = lambda call: None
        self._channel.on_message = lambda call, payload: self._answers.append(payload)
        self._answers: list[bytes] = []
        self._call: Call | None = None

    def __enter__(self) -> ReflectionStream:
        """Connects.

        Raises:
            LoadError: the target cannot be reached.
        """
        self._channel.connect()
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the conversation and its connection."""
        if self._call is not None and self._call.status == -1:
            self._channel.close_sending(self._call)
            self._channel.poll(0.0)
        self._channel.close()

    def ask(self, question: ServerReflectionRequest) -> ServerReflectionResponse:
        """Returns the answer to a question.

        Raises:
            NotServed: the server does not know this version of reflection.
            LoadError: it does not answer, or not in time.
        """
        payload = question.SerializeToString()
        if self._call is None:
            now = time.monotonic_ns()
            self._call = Call(0, 0, now)
            self._call.sent_ns = now
            if self._options.timeout:
                self._call.deadline_ns = now + round(self._options.timeout * 1e9)
            self._channel.start(self._call, Request((payload,), self._metadata), last=False)
        else:
            self._channel.send(self._call, payload, last=False)
        while not self._answers and self._call.status == -1:
            self._channel.poll(_POLL_S)
        if not self._answers:
            raise self._fault(self._call)
        try:
            return ServerReflectionResponse.FromString(self._answers.pop(0))
        except DecodeError as error:
            raise LoadError(f"{self._options.host} answers reflection wrongly", INSTEAD) from error

    def _fault(self, call: Call) -> Exception:
        host = self._options.host
        match call.status:
            case status.UNIMPLEMENTED:
                return NotServed()
            case status.DEADLINE_EXCEEDED:
                allowed = f"{self._options.timeout:g} s"
                return LoadError(
                    f"{host} did not answer reflection within {allowed}",
                    f"--connect-timeout gives it more time, or {INSTEAD}",
                )
            case status.UNAUTHENTICATED | status.PERMISSION_DENIED:
                return LoadError(f"{host} refuses reflection: {call.message}", _CREDENTIALS)
        told = " ".join(call.message.split()) or f"status {call.status}"
        return LoadError(f"reflection of {host} failed: {told}", INSTEAD)


def _method(service: str) -> MethodSpec:
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    package = service.rpartition(".")[0]
    text = file.SerializeToString()
    if package != _ALPHA_PACKAGE:
        file.package = package
        for message in file.message_type:
            for field in filter(lambda field: field.type_name, message.field):
                field.type_name = field.type_name.replace(f".{_ALPHA_PACKAGE}.", f".{package}.")
        for method in file.service[0].method:
            method.input_type = method.input_type.replace(_ALPHA_PACKAGE, package)
            method.output_type = method.output_type.replace(_ALPHA_PACKAGE, package)
        text = file.SerializeToString()
    files = FileDescriptorSet(file=[FileDescriptorProto.FromString(text)])
    return MethodSpec(service, "ServerReflectionInfo", files.SerializeToString())
