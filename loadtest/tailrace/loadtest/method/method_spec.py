"""The method that is called, in a form that other processes can be given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass


@dataclass(frozen=True)
class MethodSpec:
    """A gRPC method, and all that its messages are made of.

    Attributes:
        service: full name of the service, such as `tailrace.v1.PredictionService`.
        name: name of the method, such as `Predict`.
        files: a serialised FileDescriptorSet: the file that declares it, and what that imports.
    """

    service: str
    name: str
    files: bytes

    @property
    def path(self) -> str:
        """Where the method is called: `/package.Service/Method`."""
        return f"/{self.service}/{self.name}"

    @property
    def full_name(self) -> str:
        """`package.Service.Method`, as ghz's templates have it."""
        return f"{self.service}.{self.name}"

    @cached_property
    def descriptor(self) -> MethodDescriptor:
        """The method's descriptor, in a pool of its own."""
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(self.files).file:
            pool.Add(file)
        return pool.FindServiceByName(self.service).methods_by_name[self.name]

    @property
    def client_streaming(self) -> bool:
        """True if the caller sends a stream."""
        return bool(self.descriptor.client_streaming)

    @property
    def server_streaming(self) -> bool:
        """True if the server does."""
        return bool(self.descriptor.server_streaming)

    @cached_property
    def input_class(self) -> type[Message]:
        """Class of what is sent."""
        return GetMessageClass(self.descriptor.input_type)

    @cached_property
    def output_class(self) -> type[Message]:
        """Class of what is answered."""
        return GetMessageClass(self.descriptor.output_type)
