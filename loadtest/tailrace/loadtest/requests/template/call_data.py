"""What templates know of the call that they are filled for."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from random import Random

from google.protobuf.descriptor import MethodDescriptor

_NO_TIME = -1


class CallData:
    """The call for which a template is being filled: one object, for one call after the other.

    Attributes:
        number: the call's number in the whole run, from 0, as ghz counts.
        worker: the caller's number, from 0.
        random: where random values come from.
        variables: values of the template's variables, by slot; `$` is the first.
        dot: what `.` stands for.
    """

    __slots__ = (
        "_connections",
        "_method",
        "_name",
        "_now_ns",
        "_seed",
        "_uuid",
        "dot",
        "number",
        "random",
        "variables",
        "worker",
    )

    def __init__(
        self, method: MethodDescriptor, *, name: str, connections: int, seed: int | None
    ) -> None:
        """Makes the data of calls of one method.

        Args:
            method: what is called.
            name: what the run is called; it is part of `.WorkerID`.
            connections: how many there are; which one a caller has is part of `.WorkerID`.
            seed: of random values: with one, a call's depend on its number alone.
        """
        self._method = method
        self._name = name
        self._connections = connections
        self._seed = seed
        self.random = Random()
        self.variables: list[object] = [self]
        self.dot: object = self
        self.begin(0, 0, 0)

    def begin(self, number: int, worker: int, place: int = -1) -> None:
        """Goes on to another call, or to another message of its stream: to another time and UUID.

        Args:
            number: the call's number.
            worker: the caller's number.
            place: the message's place in its stream; -1 where all are made at a time.
        """
        self.number = number
        self.worker = worker
        self._now_ns = _NO_TIME
        self._uuid = ""
        if self._seed is not None:
            # Spread apart, so that no two of (seed, number, place) come to the same.
            self.random.seed((self._seed << 128) ^ (number << 32) ^ (place + 1))

    def reserve(self, slots: int) -> None:
        """Makes room for so many variables, `$` among them."""
        missing = slots - len(self.variables)
        self.variables.extend([None] * missing)

    @property
    def now_ns(self) -> int:
        """The call's instant, the same for all of its template: nanoseconds since 1970."""
        if self._now_ns == _NO_TIME:
            self._now_ns = time.time_ns()
        return self._now_ns

    @property
    def uuid(self) -> str:
        """The call's own UUID, of version 4."""
        if not self._uuid:
            self._uuid = new_uuid(self.random)
        return self._uuid

    @property
    def method(self) -> MethodDescriptor:
        """What is called."""
        return self._method

    @property
    def worker_id(self) -> str:
        """Names the caller as ghz does: `g3c1` is the fourth, on the second connection."""
        own = f"g{self.worker}c{self.worker % self._connections}"
        return f"{self._name}:{own}" if self._name else own

    @property
    def timestamp(self) -> str:
        """The call's instant in RFC 3339, to the second."""
        clock = datetime.fromtimestamp(self.now_ns // 1_000_000_000).astimezone()
        text = clock.isoformat()
        return text[:-6] + "Z" if text.endswith("+00:00") else text

    def __str__(self) -> str:
        return f"the data of call {self.number}"


def new_uuid(random: Random) -> str:
    """Returns a UUID of version 4 (RFC 9562): 122 random bits."""
    bits = random.getrandbits(128) & ~(0xF000_C000 << 48) | (0x4000_8000 << 48)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


Getter = Callable[[CallData], object]

VARIABLES: dict[str, Getter] = {
    "WorkerID": attrgetter("worker_id"),
    "RequestNumber": attrgetter("number"),
    "FullyQualifiedName": attrgetter("method.full_name"),
    "MethodName": attrgetter("method.name"),
    "ServiceName": attrgetter("method.containing_service.name"),
    "InputName": attrgetter("method.input_type.name"),
    "OutputName": attrgetter("method.output_type.name"),
    "IsClientStreaming": attrgetter("method.client_streaming"),
    "IsServerStreaming": attrgetter("method.server_streaming"),
    "Timestamp": attrgetter("timestamp"),
    "TimestampUnix": lambda data: data.now_ns // 1_000_000_000,
    "TimestampUnixMilli": lambda data: data.now_ns // 1_000_000,
    "TimestampUnixNano": attrgetter("now_ns"),
    "UUID": attrgetter("uuid"),
}
