from __future__ import annotations

from concurrent import futures
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_reflection.v1alpha import reflection_pb2

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.resolve import resolve_method
from tailrace.loadtest.options.load_options import LoadOptions
from tests.support.load_messages import SERVICE, echo_files
from tests.support.load_servers import Certificates, LoadServer, StartLoadServer

_REFLECTION = "grpc.reflection.{}.ServerReflection"


def _options(target: str, call: str = f"{SERVICE}/Echo") -> LoadOptions:
    return LoadOptions(host=target, call=call, insecure=True)


def test_a_server_tells_its_methods(load_server: LoadServer) -> None:
    method = resolve_method(_options(load_server.target))
    assert method.path == "/test.load.EchoService/Echo"
    names = {file.name for file in FileDescriptorSet.FromString(method.files).file}
    assert names == {"echo.proto", "parts/labels.proto"}
    assert resolve_method(_options(load_server.target, f"{SERVICE}.Chat")).client_streaming


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (f"{SERVICE}/Ecko", "has no method 'Ecko' (did you mean 'Echo'?)"),
        ("test.load.Echo/Echo", "did you mean 'test.load.EchoService'?"),
        ("other.Thing/Echo", "has no service 'other.Thing' (its services: grpc.reflection.v1alpha"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    load_server: LoadServer, call: str, told: str
) -> None:
    with pytest.raises(LoadError) as caught:
        resolve_method(_options(load_server.target, call))
    assert told in str(caught.value)


def test_a_server_without_reflection_is_told(start_load_server: StartLoadServer) -> None:
    server = start_load_server(reflection=False)
    with pytest.raises(LoadError, match=r"does not serve reflection \(give --proto or --protoset"):
        resolve_method(_options(server.target))


def test_a_server_that_is_away_or_stands_still_is_told(start_load_server: StartLoadServer) -> None:
    server = start_load_server()
    options = replace(_options(server.target), connect_timeout=0.3)
    server.freeze()
    with pytest.raises(LoadError) as caught:
        resolve_method(options)
    assert "--connect-timeout" in caught.value.hint
    server.kill()
    with pytest.raises(LoadError, match="cannot connect"):
        resolve_method(options)


def test_tls_is_that_of_all_other_calls(
    start_load_server: StartLoadServer, certificates: Certificates
) -> None:
    server = start_load_server(certificates=certificates, client_auth=True)
    options = LoadOptions(
        host=f"localhost:{server.port}",
        call=f"{SERVICE}/Echo",
        cacert=certificates.roots,
        cert=certificates.client_cert,
        key=certificates.client_key,
    )
    assert resolve_method(options).name == "Echo"
    unknown = replace(options, cacert=None)
    with pytest.raises(LoadError, match="certificate"):
        resolve_method(unknown)
    assert resolve_method(replace(unknown, skip_tls=True)).name == "Echo"
    with pytest.raises(LoadError):
        resolve_method(replace(options, cert=None, key=None))


class _OneFileEach(grpc.GenericRpcHandler):
    """Reflection of a version of its own, that sends one file for each question.

    The servers at hand serve v1alpha only, and all files at a time.
    """

    def __init__(self, version: str, *, code: int = 0, leave_out: str = "") -> None:
        self.path = f"/{_REFLECTION.format(version)}/ServerReflectionInfo"
        self.files = {file.name: file for file in FileDescriptorSet.FromString(echo_files()).file}
        self.code, self.leave_out = code, leave_out
        self.metadata: list[tuple[str, str | bytes]] = []
        self.asked: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if details.method != self.path:
            return None
        self.metadata += [(name, value) for name, value in details.invocation_metadata]
        return grpc.stream_stream_rpc_method_handler(
            self._answers,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )

    def _answers(self, questions, context):  # type: ignore[no-untyped-def]
        if self.code:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        for question in questions:
            name = question.file_by_filename or "echo.proto"
            self.asked.append(name)
            answer = reflection_pb2.ServerReflectionResponse()
            if name == self.leave_out:
                answer.error_response.error_code = 5
                answer.error_response.error_message = "not here"
            else:
                raw = self.files[name].SerializeToString()
                answer.file_descriptor_response.file_descriptor_proto.append(raw)
            yield answer


def _served(handler: grpc.GenericRpcHandler) -> tuple[grpc.Server, str]:
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_both_versions_are_spoken_and_imports_asked_for(version: str) -> None:
    handler = _OneFileEach(version)
    server, target = _served(handler)
    try:
        options = replace(_options(target), reflect_metadata='{"Who": "me"}')
        assert resolve_method(options).descriptor.input_type.name == "EchoRequest"
    finally:
        server.stop(None).wait()
    assert handler.asked == ["echo.proto", "parts/labels.proto"]
    assert ("who", "me") in handler.metadata


def test_an_import_that_the_server_does_not_send_is_told() -> None:
    server, target = _served(_OneFileEach("v1", leave_out="parts/labels.proto"))
    try:
        with pytest.raises(LoadError, match="does not send 'parts/labels.proto': not here"):
            resolve_method(_options(target))
    finally:
        server.stop(None).wait()


def test_a_server_that_wants_credentials_is_told() -> None:
    server, target = _served(_OneFileEach("v1", code=16))
    try:
        with pytest.raises(LoadError, match=r"refuses reflection: who are you\? \(--reflect-meta"):
            resolve_method(_options(target))
    finally:
        server.stop(None).wait()


def test_an_address_that_is_a_path_is_reached(
    start_load_server: StartLoadServer, tmp_path: Path
) -> None:
    server = start_load_server(address=f"unix:{tmp_path}/s")
    assert resolve_method(_options(server.target)).name == "Echo"
