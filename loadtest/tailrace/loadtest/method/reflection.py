"""The method from the server itself, by gRPC's server reflection."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.call_name import CallName
from tailrace.loadtest.method.find_method import built_in_file, find_method, unknown_service
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.method.reflection_stream import (
    INSTEAD,
    SERVICES,
    NotServed,
    ReflectionStream,
)
from tailrace.loadtest.options.load_options import LoadOptions


def method_by_reflection(call: CallName, options: LoadOptions) -> MethodSpec:
    """Asks the server for the files that declare a method: version 1 of reflection, then v1alpha.

    The connection is made as all others are: TLS, names and authority are the options'.

    Raises:
        LoadError: the server cannot be reached, does not serve reflection, or has no such method.
    """
    for service in SERVICES:
        with ReflectionStream(options, service) as stream:
            try:
                files = _files(call, stream, options.host)
            except NotServed:
                continue
            return find_method(call, files, options.host, INSTEAD)
    raise LoadError(f"{options.host} does not serve reflection", INSTEAD)


def _files(call: CallName, stream: ReflectionStream, host: str) -> dict[str, FileDescriptorProto]:
    """Returns the file that declares a service, and what it imports, by name."""
    files: dict[str, FileDescriptorProto] = {}
    answer = stream.ask(ServerReflectionRequest(file_containing_symbol=call.service))
    if answer.HasField("error_response"):
        raise _not_there(call, answer, stream, host)
    _add(answer, files, host)
    while True:
        imported = {name for file in files.values() for name in file.dependency}
        missing = sorted(name for name in imported - files.keys() if not built_in_file(name))
        if not missing:
            return files
        answer = stream.ask(ServerReflectionRequest(file_by_filename=missing[0]))
        _add(answer, files, host)
        if missing[0] not in files:
            told = answer.error_response.error_message or "it sent another file"
            raise LoadError(f"{host} does not send {missing[0]!r}: {told}", INSTEAD)


def _add(
    answer: ServerReflectionResponse, files: dict[str, FileDescriptorProto], host: str
) -> None:
    for raw in answer.file_descriptor_response.file_descriptor_proto:
        try:
            file = FileDescriptorProto.FromString(raw)
        except DecodeError as error:
            raise LoadError(f"{host} answers reflection wrongly", INSTEAD) from error
        files[file.name] = file


def _not_there(
    call: CallName, answer: ServerReflectionResponse, stream: ReflectionStream, host: str
) -> LoadError:
    services = [
        service.name
        for service in stream.ask(
            ServerReflectionRequest(list_services="*")
        ).list_services_response.service
    ]
    if call.service in services or not services:
        told = " ".join(answer.error_response.error_message.split())
        return LoadError(f"reflection of {host} does not describe {call.service}: {told}", INSTEAD)
    return unknown_service(call, services, host)
