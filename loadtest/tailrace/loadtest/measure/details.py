"""A record per call, on disk, for the reports that list them.

Each process writes records of fixed size (`_RECORD`), in the order in which its calls ended, to a
file of its own; what the numbers of outcomes in them mean it tells beside, with how many there are.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import numpy.typing as npt

from tailrace.loadtest.measure.latency_histogram import Int64s

# As in ghz.
MAX_DETAILS = 1_000_000

_RECORD = np.dtype(
    [("timestamp_ns", "<i8"), ("latency_ns", "<i8"), ("uncorrected_ns", "<i8"), ("kind", "<i4")]
)
_AT_A_TIME = 20_000

Records = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Detail:
    """One call.

    Attributes:
        timestamp_ns: when it was due, in nanoseconds since 1970. It ended `latency_ns` later,
            which is what ghz calls its timestamp.
        latency_ns: its corrected latency.
        uncorrected_ns: its latency from when it was sent.
        status: name of its status, `OK` for instance.
        error: its error's text, as in `Tally.errors`; empty if it was answered.
    """

    timestamp_ns: int
    latency_ns: int
    uncorrected_ns: int
    status: str
    error: str


@dataclass(frozen=True, slots=True)
class Listed:
    """What a process tells of its file of records.

    Attributes:
        records: how many are in it by now.
        kinds: name of the status and text of the error (empty if there is none) of each kind of
            outcome that is new since the last time; kinds count from 0, in the order of telling.
        fault: why no more are written, such as `No space left on device`; empty if they are.
    """

    records: int
    kinds: list[tuple[str, str]]
    fault: str = ""


class DetailsWriter:
    """Writes one process's records, the first `MAX_DETAILS` of them.

    Attributes:
        count: records that were written whole.
        fault: why no more are written; empty if they are. The load goes on all the same.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Begins at the start of a file.

        Args:
            file: open for writing, without a buffer: what is told to be there has to be, also
                if the process is killed the next moment.
        """
        self.count = 0
        self.fault = ""
        self._file = file

    def write(
        self, timestamps_ns: Int64s, latencies_ns: Int64s, uncorrected_ns: Int64s, kinds: Int64s
    ) -> None:
        """Adds calls in the order in which they ended; all arguments have shape (n,).

        Args:
            timestamps_ns: when they were due, in nanoseconds since 1970.
            latencies_ns: their corrected latencies.
            uncorrected_ns: their latencies from when they were sent.
            kinds: numbers of their outcomes.
        """
        room = min(len(timestamps_ns), MAX_DETAILS - self.count)
        if room <= 0 or self.fault:
            return
        records = np.empty(room, _RECORD)
        records["timestamp_ns"] = timestamps_ns[:room]
        records["latency_ns"] = latencies_ns[:room]
        records["uncorrected_ns"] = uncorrected_ns[:room]
        records["kind"] = kinds[:room]
        left = memoryview(records.tobytes())
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self.fault = error.strerror or str(error)
        # A record that is cut is none.
        self.count += room - -(-len(left) // _RECORD.itemsize)


@dataclass(slots=True)
class DetailsPart:
    """One process's records, as its parent has them.

    Attributes:
        file: what the process writes to.
        records: how many it has told of.
        kinds: what their outcomes mean: name of the status, text of the error.
        fault: as that of `Listed`.
    """

    file: IO[bytes]
    records: int = 0
    kinds: list[tuple[str, str]] = field(default_factory=list)
    fault: str = ""

    def told(self, listed: Listed) -> None:
        """Takes in what the process tells."""
        self.records = listed.records
        self.kinds += listed.kinds
        self.fault = listed.fault

    def mapped(self) -> Records:
        """Returns the records that were told of, shape (records,)."""
        if not self.records:
            return np.empty(0, _RECORD)
        records: Records = np.memmap(self.file, _RECORD, "r", shape=(self.records,))
        return records


class Details:
    """The records of a run, of all processes: iterating yields a `Detail` for each call.

    They come in the order in which calls ended, `MAX_DETAILS` at most. What is held in memory of
    each is 16 bytes where there are several processes, and else nothing.
    """

    def __init__(self, parts: Sequence[DetailsPart]) -> None:
        """Takes what processes wrote.

        Its files are closed, and so freed, by `close`, or else with the last reference to it.
        """
        self._parts = parts
        self._closing = weakref.finalize(self, _close, [part.file for part in parts])

    @property
    def fault(self) -> str:
        """Why some are missing, such as `No space left on device`; empty if none is."""
        return next((part.fault for part in self._parts if part.fault), "")

    def __iter__(self) -> Iterator[Detail]:
        mapped = [part.mapped() for part in self._parts]
        if len(mapped) == 1:
            yield from _in_order(mapped[0], self._parts[0].kinds)
            return
        kinds: list[tuple[str, str]] = []
        firsts = np.array([len(part.kinds) for part in self._parts]).cumsum()
        for part in self._parts:
            kinds += part.kinds
        sizes = np.array([len(records) for records in mapped])
        begins = np.concatenate(([0], sizes.cumsum()))
        ends = np.concatenate([each["timestamp_ns"] + each["latency_ns"] for each in mapped])
        order = np.argsort(ends, kind="stable")[:MAX_DETAILS]
        del ends
        for begin in range(0, len(order), _AT_A_TIME):
            places = order[begin : begin + _AT_A_TIME]
            taken = np.empty(len(places), _RECORD)
            for number, records in enumerate(mapped):
                here = (places >= begins[number]) & (places < begins[number + 1])
                taken[here] = records[places[here] - begins[number]]
                if number:
                    taken["kind"][here] += firsts[number - 1]
            yield from _in_order(taken, kinds)

    def close(self) -> None:
        """Closes the files; nothing is left of them."""
        self._closing()


def _close(files: Sequence[IO[bytes]]) -> None:
    for file in files:
        file.close()


def _in_order(records: Records, kinds: Sequence[tuple[str, str]]) -> Iterator[Detail]:
    for begin in range(0, len(records), _AT_A_TIME):
        for timestamp, latency, uncorrected, kind in records[begin : begin + _AT_A_TIME].tolist():
            yield Detail(timestamp, latency, uncorrected, *kinds[kind])
