"""A record per call, on disk, for the reports that list them.

A file holds records of fixed size (`_RECORD`) in the order in which calls ended, then the kinds of
outcome that they name by number, as JSON, then the number of records and `_MAGIC`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.measure.latency_histogram import Int64s

# As in ghz.
MAX_DETAILS = 1_000_000

_MAGIC = b"TRLDETL1"
_TAIL_BYTES = 8 + len(_MAGIC)
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


class DetailsWriter:
    """Writes one process's records, the first `MAX_DETAILS` of them."""

    def __init__(self, path: Path) -> None:
        """Begins a file.

        Raises:
            OSError: it cannot be written.
        """
        self._file = path.open("wb")
        self._count = 0

    def write(
        self, timestamps_ns: Int64s, latencies_ns: Int64s, uncorrected_ns: Int64s, kinds: Int64s
    ) -> None:
        """Adds calls in the order in which they ended; all arguments have shape (n,).

        Args:
            timestamps_ns: when they were due, in nanoseconds since 1970.
            latencies_ns: their corrected latencies.
            uncorrected_ns: their latencies from when they were sent.
            kinds: places in the list that `close` is given.
        """
        room = min(len(timestamps_ns), MAX_DETAILS - self._count)
        if room <= 0:
            return
        records = np.empty(room, _RECORD)
        records["timestamp_ns"] = timestamps_ns[:room]
        records["latency_ns"] = latencies_ns[:room]
        records["uncorrected_ns"] = uncorrected_ns[:room]
        records["kind"] = kinds[:room]
        self._append(records)

    def close(self, kinds: Sequence[tuple[str, str]]) -> None:
        """Ends the file.

        Args:
            kinds: name of the status and text of the error (empty if there is none) of each kind.
        """
        self._file.write(json.dumps(kinds).encode())
        self._file.write(self._count.to_bytes(8, "little") + _MAGIC)
        self._file.close()

    def _append(self, records: Records) -> None:
        self._file.write(records.tobytes())
        self._count += len(records)


def merge_details(parts: Sequence[Path], target: Path) -> None:
    """Writes one file out of those of several processes: the first `MAX_DETAILS` calls to end.

    Args:
        parts: what the processes wrote; they stay.
        target: the file to write.

    Raises:
        LoadError: a part is not a whole file of records.
    """
    kinds: list[tuple[str, str]] = []
    read: list[Records] = []
    for part in parts:
        records, own_kinds = _open(part)
        records = np.array(records)
        records["kind"] += len(kinds)
        kinds.extend(own_kinds)
        read.append(records)
    together = np.concatenate(read) if read else np.empty(0, _RECORD)
    order = np.argsort(together["timestamp_ns"] + together["latency_ns"], kind="stable")
    writer = DetailsWriter(target)
    writer._append(together[order[:MAX_DETAILS]])
    writer.close(kinds)


def read_details(path: Path) -> Iterator[Detail]:
    """Yields the records of a run in the order in which calls ended, of all processes.

    Raises:
        LoadError: the file is not one of records, or not whole.
    """
    records, kinds = _open(path)
    for begin in range(0, len(records), _AT_A_TIME):
        for timestamp, latency, uncorrected, kind in records[begin : begin + _AT_A_TIME].tolist():
            yield Detail(timestamp, latency, uncorrected, *kinds[kind])


def _open(path: Path) -> tuple[Records, list[tuple[str, str]]]:
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2) - _TAIL_BYTES
            file.seek(max(end, 0))
            tail = file.read()
            count = int.from_bytes(tail[:8], "little")
            kinds_at = count * _RECORD.itemsize
            if end < 0 or tail[8:] != _MAGIC or kinds_at > end:
                raise LoadError(f"{path} is not a whole file of calls", "its run did not end well")
            file.seek(kinds_at)
            kinds: list[Any] = json.loads(file.read(end - kinds_at))
    except OSError as error:
        raise LoadError(
            f"{path} cannot be read: {error.strerror}", "leave temporary files in their place"
        ) from error
    records: Records = (
        np.memmap(path, _RECORD, "r", shape=(count,)) if count else np.empty(0, _RECORD)
    )
    return records, [(status, text) for status, text in kinds]
