"""What the parent and the processes that make the load tell each other, through pipes."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import Any

from tailrace.loadtest.engine.share import Share
from tailrace.loadtest.measure.details import Listed
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.method.method_spec import MethodSpec
from tailrace.loadtest.options.load_options import LoadOptions

LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Order:
    """What a process has to do.

    Attributes:
        options: of the whole run.
        method: the method to call.
        share: what of the run is the process's own.
        details: descriptor of the file that it writes a record per call to, which it has
            inherited; None for none.
    """

    options: LoadOptions
    method: MethodSpec
    share: Share
    details: int | None


@dataclass(frozen=True, slots=True)
class Start:
    """The load begins at this instant of the monotonic clock, in nanoseconds."""

    start_ns: int


@dataclass(frozen=True, slots=True)
class Stop:
    """The load ends now: no more calls are made."""


@dataclass(frozen=True, slots=True)
class Ready:
    """All connections stand."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What the user has to change: see `LoadError`."""

    problem: str
    hint: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What was recorded since the last time.

    Attributes:
        tally: what is new; of answers, that of the last second or so may come later.
        listed: of the records of calls; None where there are none.
    """

    tally: Tally
    listed: Listed | None


@dataclass(frozen=True, slots=True)
class Done:
    """The load is over.

    Attributes:
        tally: what was recorded since the last time.
        listed: of the records of calls; None where there are none.
        timed_out: True if time ended it, before all calls were made.
    """

    tally: Tally
    listed: Listed | None
    timed_out: bool


def packed(message: object) -> bytes:
    """Returns a message as it goes through a pipe: its length, 8 bytes, then itself."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


def unpacked(body: bytes) -> Any:
    """Returns a message, without its length."""
    return pickle.loads(body)
