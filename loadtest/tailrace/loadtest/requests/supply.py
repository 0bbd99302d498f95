"""Where the messages of calls come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tailrace.loadtest.requests.template.call_data import CallData


class MessageSupply(Protocol):
    """The messages that the data is.

    Attributes:
        varies: True if each call has its own; then the call's data is asked for.
        count: how many there are, as far as that is known before they are filled.
    """

    varies: bool
    count: int

    def one(self, number: int, data: CallData) -> bytes:
        """Returns the message of a call that has one: the data's messages are taken in turn.

        Args:
            number: the call's number, or the place in a stream.
            data: of the call; looked at where messages vary.
        """

    def all(self, data: CallData) -> tuple[bytes, ...]:
        """Returns all messages: those of a call that streams them."""


class FixedMessages:
    """The same messages for all calls."""

    varies = False

    def __init__(self, messages: Sequence[bytes]) -> None:
        """Takes messages."""
        self._messages = tuple(messages)
        self.count = len(messages)

    def one(self, number: int, data: CallData) -> bytes:
        """Returns the message of a call: see `MessageSupply`."""
        return self._messages[number % self.count]

    def all(self, data: CallData) -> tuple[bytes, ...]:
        """Returns all messages: see `MessageSupply`."""
        return self._messages
