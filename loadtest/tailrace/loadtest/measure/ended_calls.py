"""Calls that are over and wait to be sorted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tailrace.loadtest.measure.latency_histogram import Int64s
from tailrace.loadtest.measure.outcome_kinds import OK_KIND, OutcomeKinds
from tailrace.loadtest.wire.call import Call


@dataclass(frozen=True, slots=True)
class EndedBatch:
    """Calls that are over; arrays have shape (n,), instants are on the monotonic clock.

    Attributes:
        ended_ns: when they ended.
        intended_ns: when they were due.
        sent_ns: when they were sent; when they were due, if they never were.
        lag: True where only the generator can be the reason for what is between these two.
        kinds: numbers of their outcomes.
        responses: messages received, of all together.
    """

    ended_ns: Int64s
    intended_ns: Int64s
    sent_ns: Int64s
    lag: npt.NDArray[np.bool_]
    kinds: Int64s
    responses: int


class EndedCalls:
    """Takes calls down as they end.

    What most calls are like, one message and OK, is three numbers in three lists. (Measured:
    appending to three lists takes less than one tuple, `struct`, or `array` does; and keeping the
    calls themselves takes more in the end.)

    Attributes:
        add: takes down a call; `lag` as in `Recorder.ended`.
    """

    def __init__(self, kinds: OutcomeKinds) -> None:
        """Begins with none.

        Args:
            kinds: what numbers outcomes.
        """
        # The sign of `sent` says whether the call was kept by the generator alone.
        self._ended: list[int] = []
        self._intended: list[int] = []
        self._sent: list[int] = []
        # Of calls with another number of messages, or another status: their places in the lists.
        self._odd: list[tuple[int, int, int]] = []
        self.add = self._adder(kinds)

    def take(self) -> EndedBatch:
        """Returns the calls taken down so far, in their order, and forgets them."""
        ended, intended, sent = map(_numbers, (self._ended, self._intended, self._sent))
        kinds = np.full(len(ended), OK_KIND, np.int64)
        responses = len(ended)
        if self._odd:
            places, odd_kinds, odd_responses = np.array(self._odd, np.int64).T
            kinds[places] = odd_kinds
            responses += int(odd_responses.sum()) - len(places)
        for taken in (self._ended, self._intended, self._sent, self._odd):
            taken.clear()
        lag = sent > 0
        sent = np.abs(sent)
        return EndedBatch(ended, intended, np.where(sent, sent, intended), lag, kinds, responses)

    def _adder(self, kinds: OutcomeKinds) -> Callable[..., None]:
        ended, intended, sent = self._ended.append, self._intended.append, self._sent.append
        length, odd, number = self._ended.__len__, self._odd.append, kinds.number

        def add(call: Call, *, lag: bool) -> None:
            if call.status or call.responses != 1:
                odd((length(), number(call.status, call.message), call.responses))
            ended(call.ended_ns)
            intended(call.intended_ns)
            sent_ns = call.sent_ns
            sent(sent_ns if lag else -sent_ns)

        return add


def _numbers(values: list[int]) -> Int64s:
    return np.fromiter(values, np.int64, len(values))
