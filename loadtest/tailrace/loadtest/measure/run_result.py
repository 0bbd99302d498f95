"""What a load test came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tailrace.loadtest.measure.details import Details
from tailrace.loadtest.measure.lost_process import LostProcess
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import LoadOptions


class EndReason(StrEnum):
    """Why a run ended: all was done, it was interrupted, or its time was up (as in ghz).

    LOST: it was not made as it was asked for, as processes that made its load were lost.
    """

    NORMAL = "normal"
    CANCEL = "cancel"
    TIMEOUT = "timeout"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class GeneratorLimit:
    """Whether the generator kept to its schedule.

    Attributes:
        limited: True if what was measured is the generator's doing and not the server's.
        why: in words, such as `calls were sent 12 ms late (p99)`; empty if it kept to it.
    """

    limited: bool
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A finished run: all that reports and verdicts are made of.

    Attributes:
        options: what was asked.
        date: when it began, with its time zone.
        end_reason: why it ended.
        duration_ns: from the start, or from when the first call was due that counts if some do
            not (`skip_first`), until the last ended, or `Tally.last_ns`; 0 if none did.
        tally: what all processes recorded.
        processes: what each did; by time only if it is one.
        limit: whether the generator was the limit.
        details: a record per call; None where no report wants it. Whoever has the result closes it.
        lost: processes that ended before their load was over. The run is then no proof of anything:
            objectives are not reached, and it is neither compared nor compared with.
        server_streaming: True if the method answers with a stream.
        client_streaming: True if it takes one.
    """

    options: LoadOptions
    date: datetime
    end_reason: EndReason
    duration_ns: int
    tally: Tally
    processes: list[Tally] = field(default_factory=list)
    limit: GeneratorLimit = GeneratorLimit(False)
    details: Details | None = None
    lost: Sequence[LostProcess] = ()
    server_streaming: bool = False
    client_streaming: bool = False

    @property
    def rps(self) -> float:
        """Calls that ended, a second."""
        return self.tally.ended / self.duration_ns * 1e9 if self.duration_ns else 0.0

    @property
    def corrected_differs(self) -> bool:
        """True if latencies from the intended and from the sent instant are told both."""
        return self.options.paced
