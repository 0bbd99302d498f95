from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.call_name import CallName, parse_call
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.method.resolve import resolve_method
from tailrace.loadtest.options.load_options import LoadOptions
from tests.support.load_messages import ECHO_PROTO, LOAD_PROTOS, SERVICE, echo_files

_ROOT = Path(__file__).resolve().parents[3]


def _method(
    call: str = f"{SERVICE}/Echo",
    *,
    proto: Path | None = None,
    protoset: Path | None = None,
    import_paths: tuple[Path, ...] = (),
) -> MethodSpec:
    options = LoadOptions(
        host="nowhere:1", call=call, proto=proto, protoset=protoset, import_paths=import_paths
    )
    method = resolve_method(options)
    assert method.descriptor.name == method.name
    return method


@pytest.fixture
def protoset(tmp_path: Path) -> Path:
    path = tmp_path / "echo.protoset"
    path.write_bytes(echo_files())
    return path


@pytest.mark.parametrize("call", ["a.B/C", "a.B.C", ".a.B/C", "/a.B/C", " a.B.C "])
def test_a_call_is_named_with_a_slash_or_a_dot(call: str) -> None:
    assert parse_call(call) == CallName("a.B", "C")
    assert parse_call("B/C") == parse_call("B.C") == CallName("B", "C")


@pytest.mark.parametrize("call", ["Echo", "a/b/c", "a.B/", "/Echo", "a.B/x.y"])
def test_what_is_no_call_is_told(call: str) -> None:
    with pytest.raises(LoadError, match="is no method's name .*package.Service/Method"):
        parse_call(call)
    with pytest.raises(LoadError, match="no method is named"):
        parse_call("")


def test_a_proto_file_declares_it() -> None:
    method = _method(proto=ECHO_PROTO)
    assert method.path == "/test.load.EchoService/Echo"
    assert method.full_name == "test.load.EchoService.Echo"
    assert not method.client_streaming and not method.server_streaming
    message = method.input_class(text="x")
    assert method.input_class.FromString(message.SerializeToString()) == message
    chat = _method(f"{SERVICE}.Chat", proto=ECHO_PROTO)
    assert chat.client_streaming and chat.server_streaming


def test_a_proto_file_is_looked_for_where_imports_are() -> None:
    assert _method(proto=Path("echo.proto"), import_paths=(LOAD_PROTOS,)).name == "Echo"


def test_imports_begin_where_it_is_said_and_google_brings_its_own() -> None:
    proto = _ROOT / "protos/tailrace/v1/prediction_service.proto"
    call = "tailrace.v1.PredictionService/Predict"
    assert _method(call, proto=proto, import_paths=(_ROOT / "protos",)).name == "Predict"
    with pytest.raises(LoadError) as caught:
        _method(call, proto=proto)
    assert '8:1: Import "tailrace/v1/batch.proto" was not found' in caught.value.problem
    assert caught.value.hint == "--import-paths names the folders where imports begin"


def test_what_does_not_compile_is_told_with_file_and_line(tmp_path: Path) -> None:
    proto = tmp_path / "bad.proto"
    proto.write_text('syntax = "proto3";\nmessage A {\n  int32 x;\n}\n')
    with pytest.raises(LoadError) as caught:
        _method("A/B", proto=proto)
    assert "bad.proto:3:10: Missing field number" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(LoadError, match=r"there is no file .*missing.proto"):
        _method(proto=tmp_path / "missing.proto")


def test_warnings_of_the_compiler_stop_nothing(tmp_path: Path) -> None:
    proto = tmp_path / "unused.proto"
    proto.write_text(
        'syntax = "proto3";\nimport "google/protobuf/duration.proto";\n'
        'import "google/protobuf/empty.proto";\n'
        "service S { rpc M(google.protobuf.Empty) returns (google.protobuf.Empty); }\n"
    )
    assert _method("S/M", proto=proto).path == "/S/M"


def test_a_protoset_declares_it(protoset: Path) -> None:
    method = _method(f"{SERVICE}.Repeat", protoset=protoset)
    assert (method.client_streaming, method.server_streaming) == (False, True)


def test_a_proto_file_comes_before_a_protoset(tmp_path: Path) -> None:
    assert _method(proto=ECHO_PROTO, protoset=tmp_path / "missing").name == "Echo"


def test_a_protoset_without_an_import_is_told(tmp_path: Path, protoset: Path) -> None:
    files = FileDescriptorSet.FromString(echo_files())
    lacking = FileDescriptorSet(file=[file for file in files.file if file.name == "echo.proto"])
    path = tmp_path / "lacking"
    path.write_bytes(lacking.SerializeToString())
    with pytest.raises(LoadError) as caught:
        _method(protoset=path)
    assert "lacks 'parts/labels.proto', which 'echo.proto' imports" in caught.value.problem
    assert "--include_imports" in caught.value.hint


def test_a_protoset_needs_no_files_of_protobufs_own(tmp_path: Path) -> None:
    made = FileDescriptorSet()
    file = made.file.add(name="s.proto", dependency=["google/protobuf/empty.proto"])
    method = file.service.add(name="S").method.add(name="M")
    method.input_type = method.output_type = ".google.protobuf.Empty"
    path = tmp_path / "protoset"
    path.write_bytes(made.SerializeToString())
    assert _method("S/M", protoset=path).path == "/S/M"
    file.dependency.append("google/protobuf/none.proto")
    path.write_bytes(made.SerializeToString())
    with pytest.raises(LoadError, match="lacks 'google/protobuf/none.proto'"):
        _method("S/M", protoset=path)


@pytest.mark.parametrize("content", [b"", b"syntax = proto3", b"\xff" * 9])
def test_what_is_no_protoset_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "protoset"
    path.write_bytes(content)
    with pytest.raises(LoadError, match=r"is no protoset|holds no files"):
        _method(protoset=path)
    with pytest.raises(LoadError, match=r"missing cannot be read: No such file"):
        _method(protoset=tmp_path / "missing")


def test_files_that_do_not_fit_together_are_told(tmp_path: Path) -> None:
    made = FileDescriptorSet()
    file = made.file.add(name="s.proto")
    method = file.service.add(name="S").method.add(name="M")
    method.input_type = method.output_type = ".not.There"
    path = tmp_path / "protoset"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(LoadError, match="does not fit together"):
        _method("S/M", protoset=path)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (f"{SERVICE}/Ecko", "has no method 'Ecko' (did you mean 'Echo'?)"),
        (f"{SERVICE}/echo", "has no method 'echo' (did you mean 'Echo'?)"),
        (f"{SERVICE}/Zzz", "(its methods: Chat, Collect, Echo, Repeat, Seen)"),
        ("test.load.EchoServise/Echo", "(did you mean 'test.load.EchoService'?)"),
        ("other.Thing/Echo", "has no service 'other.Thing' (its services: test.load.EchoService)"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(protoset: Path, call: str, told: str) -> None:
    with pytest.raises(LoadError) as caught:
        _method(call, protoset=protoset)
    assert told in str(caught.value)
