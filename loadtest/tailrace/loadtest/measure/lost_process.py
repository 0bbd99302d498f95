"""A process that ended before its part of the load was over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LostProcess:
    """A process that was killed, or has crashed, while it made load; the others went on.

    What it told until then, some times a second, is part of the run; nothing else of it is.

    Attributes:
        name: such as `load process 2 of 2 (pid 4711)`.
        how: how it ended, such as `was killed by SIGKILL`.
        why: what is known of the reason, in a line; may be empty.
        ended_ns: when it ended, in nanoseconds after the run's start.
        told_ns: until when it had told what it did; 0 if it never had.
        missing: calls asked of it that were not made, or whose end nobody told; None where not a
            number of calls was asked for, but callers, for some time.
        share: how much that is of the whole run's load, 0 to 1; of callers, their time.
    """

    name: str
    how: str
    why: str = ""
    ended_ns: int
    told_ns: int
    missing: int | None
    share: float

    @property
    def text(self) -> str:
        """All of it, in a line."""
        why = f" ({self.why})" if self.why else ""
        known = f"known of it is what it did in the first {self.told_ns / 1e9:.2f} s"
        if not self.told_ns:
            known = "nothing is known of what it did"
        lack = f"{self.share:.1%} of the load that was asked for"
        if self.missing is not None:
            calls = "call" if self.missing == 1 else "calls"
            lack = f"{self.missing:,} {calls}, {lack}"
        ended = f"{self.ended_ns / 1e9:.2f} s after the start"
        return f"{self.name} {self.how} {ended}{why}; {known}; missing: {lack}"
