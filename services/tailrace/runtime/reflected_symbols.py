"""What gRPC's reflection looks symbols up in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor


def reflected_symbols() -> descriptor_pool.DescriptorPool:
    """Returns all descriptors of this process, in the part of a pool that reflection uses."""
    return cast(descriptor_pool.DescriptorPool, _Symbols())


class _Symbols:
    """The pool of all descriptors, which finds methods, too.

    The protocol asks for files by `package.Service.Method` as well (`reflection.proto`,
    `file_containing_symbol`), and ghz does. Protobuf's own pool finds services, but not methods.
    """

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """Returns the file that declares a message, an enum, a service or a method.

        Raises:
            KeyError: no file does.
        """
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service_name, _, method = symbol.rpartition(".")
            service = self._pool.FindServiceByName(service_name)
            return service.methods_by_name[method].containing_service.file

    def FindFileByName(self, name: str) -> FileDescriptor:
        """Returns a file. Raises KeyError if there is none."""
        return self._pool.FindFileByName(name)

    def FindMessageTypeByName(self, name: str) -> Descriptor:
        """Returns a message's descriptor. Raises KeyError if there is none."""
        return self._pool.FindMessageTypeByName(name)

    def FindExtensionByNumber(self, message: Descriptor, number: int) -> FieldDescriptor:
        """Returns an extension of a message. Raises KeyError if there is none."""
        return self._pool.FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Descriptor) -> Iterable[FieldDescriptor]:
        """Returns all extensions of a message."""
        return self._pool.FindAllExtensions(message)
