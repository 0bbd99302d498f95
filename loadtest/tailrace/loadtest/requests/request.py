"""What one call sends, and where calls get it from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(eq=False, slots=True)
class Request:
    """What one call sends. A source that gives the same each time gives the same object.

    Attributes:
        messages: serialised messages, without gRPC's prefix: one, or those of a stream in order.
        metadata: names in lower case; values of `-bin` names are bytes.
        encoded: what the wire keeps of it: not the source's to touch.
    """

    messages: tuple[bytes, ...]
    metadata: Metadata = ()
    encoded: object | None = field(default=None, repr=False)


class RequestSource(Protocol):
    """Where calls get what they send from."""

    def request(self, number: int, worker: int) -> Request:
        """Returns what a call sends.

        Args:
            number: the call's number in the whole run, from 0.
            worker: the caller's number, from 0.

        Raises:
            LoadError: a template gives something that is no message.
        """

    def message(self, number: int, worker: int, place: int) -> bytes:
        """Returns one message of a stream, filled anew (`stream_dynamic_messages`).

        Args:
            number: the call's number in the whole run, from 0.
            worker: the caller's number, from 0.
            place: the message's place in its stream, from 0.

        Raises:
            LoadError: a template gives something that is no message.
        """
