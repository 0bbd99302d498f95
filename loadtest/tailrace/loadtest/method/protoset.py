"""The method from a protoset: a serialised FileDescriptorSet, as protoc writes it."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.method.call_name import CallName
from tailrace.loadtest.method.find_method import find_method
from tailrace.loadtest.method.method_spec import MethodSpec

_MAKE = "make it with protoc --include_imports --descriptor_set_out"


def method_of_protoset(call: CallName, path: Path) -> MethodSpec:
    """Returns a method that a protoset declares.

    Args:
        call: the method.
        path: the protoset.

    Raises:
        LoadError: it cannot be read, lacks an import, or has no such method.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise LoadError(
            f"{path} cannot be read: {error.strerror}",
            "--protoset names what protoc --descriptor_set_out writes",
        ) from error
    try:
        files = FileDescriptorSet.FromString(raw)
    except DecodeError as error:
        raise LoadError(f"{path} is no protoset", _MAKE) from error
    if not files.file:
        raise LoadError(f"{path} holds no files", _MAKE)
    return find_method(call, {file.name: file for file in files.file}, str(path), _MAKE)
