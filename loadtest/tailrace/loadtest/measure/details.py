"""A record per call, on disk, for the reports that list them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# As in ghz.
MAX_DETAILS = 1_000_000


@dataclass(frozen=True, slots=True)
class Detail:
    """One call.

    Attributes:
        timestamp_ns: when it was due, in nanoseconds since 1970.
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


def read_details(path: Path) -> Iterator[Detail]:
    """Yields the records of a run in the order in which calls ended, of all processes."""
    raise NotImplementedError
