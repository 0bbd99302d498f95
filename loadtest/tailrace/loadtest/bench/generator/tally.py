"""Counts what comes of the messages of one order."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tailrace.loadtest.bench.agreement import count_wrong
from tailrace.loadtest.bench.generator.answers import Reading
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.loadtest.bench.generator.orders import Order, Outcome

# Prime, so that the sample goes through all messages.
SAMPLED_EVERY = 61


class Tally:
    """The outcome of one order while it is being carried out.

    Attributes:
        ends_ns: when no more messages are sent, in monotonic nanoseconds.
        outcome: what has come of it so far.
    """

    def __init__(self, order: Order, messages: Messages) -> None:
        """Starts from nothing.

        Args:
            order: says from when to when to measure.
            messages: what is sent.
        """
        starts_ns = round((order.starts_at + order.ramp_s) * 1e9)
        self._begins_ns = starts_ns
        self.ends_ns = starts_ns + round(order.seconds * 1e9)
        self.outcome = Outcome()
        self._rows = order.endpoint.rows
        self._messages = messages
        self._first = order.first

    def places(self) -> Iterator[int]:
        """Yields the places of the messages to send, without end."""
        count = len(self._messages.data)
        place = self._first % count
        while True:
            yield place
            place = (place + 1) % count

    def in_window(self, instant_ns: int) -> bool:
        """Returns whether an instant lies in the measured time."""
        return self._begins_ns <= instant_ns < self.ends_ns

    def count(self, rows: int) -> None:
        """Counts rows that have been answered just now."""
        self.outcome.answered += rows
        if self.in_window(time.monotonic_ns()):
            self.outcome.counted += rows

    def take_latency(self, begun_ns: int, ended_ns: int) -> None:
        """Keeps how long a message took."""
        self.outcome.latencies_us.append((ended_ns - begun_ns) // 1000)

    def fail(self, status: str, rows: int) -> None:
        """Counts rows that got no answer."""
        self.outcome.failed[status] = self.outcome.failed.get(status, 0) + rows

    @property
    def is_sample(self) -> bool:
        """Whether the answer that was counted last is to be checked."""
        return (self.outcome.answered // self._rows) % SAMPLED_EVERY == 0

    def check(self, place: int, reading: Reading, row: int | None = None) -> None:
        """Compares scores with those expected.

        Args:
            place: of the message.
            reading: of all its rows, or of one of them.
            row: which one that is.
        """
        if not self._messages.expected:
            return
        expected = self._messages.expected[place]
        if row is not None:
            expected = expected[row : row + 1]
        if reading.convoy_rows:
            self.outcome.convoy_rows.append(reading.convoy_rows)
        self.outcome.checked += len(reading.scores)
        wrong = count_wrong(reading.scores, expected)
        if reading.live:
            self.outcome.wrong += wrong
        else:
            self.outcome.degraded += wrong
