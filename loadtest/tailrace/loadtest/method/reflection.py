"""The method from the server itself, by gRPC's server reflection.

Both versions of the protocol have the same messages, so one set of stubs serves both:
https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from __future__ import annotations

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.call_name import CallName
from tailrace.loadtest.method.find_method import find_method
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions


def method_by_reflection(call: CallName, options: LoadOptions) -> MethodSpec:
    """Asks the server for the files that declare a method.

    Raises:
        LoadError: the server cannot be reached, does not serve reflection, or has no such method.
    """
    with grpc.insecure_channel(options.host) as channel:
        ask = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )
        files: dict[str, FileDescriptorProto] = {}
        request = ServerReflectionRequest(file_containing_symbol=call.service)
        try:
            for answer in ask(iter([request]), timeout=options.connect_timeout):
                for text in answer.file_descriptor_response.file_descriptor_proto:
                    file = FileDescriptorProto.FromString(text)
                    files[file.name] = file
        except grpc.RpcError as error:
            raise LoadError(f"{options.host}: {error}") from error
    return find_method(call, files, f"{options.host} by reflection")
