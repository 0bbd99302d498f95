"""Finds out how many convoys to have under way at once.

Every convoy costs each hop a fixed amount of work, so more of them at once mean smaller ones and
more work, but they keep more processes busy. Which of the two wins depends on machine and load, so
while requests wait, one more and one less are tried in turn.

What counts is Kleinrock's power, rows answered per second over the mean time from a row's receipt
to its return (L. Kleinrock, "Power and deterministic rules of thumb for probabilistic problems in
computer communications", ICC 1979). Where callers wait for their answers, it shows what comes
through; where requests come at a rate of their own, it shows how long they take.

Figures of a second differ by more than the choices do. So a trial compares four phases, as it was,
changed, changed, as it was: a load that rises or falls steadily weighs on both alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.runtime.deadline import NS_PER_MS

# More must be worth its work; less is its own reward.
WORTHWHILE_GAIN = 1.1
BEARABLE_LOSS = 0.98
PHASE_CONVOYS = 8
MIN_PHASE_CONVOYS = 4
MIN_PHASE_NS = 100 * NS_PER_MS
FIRST_PATIENCE = 2
MAX_PATIENCE = 64
# Whether each phase of a trial is one with the changed number.
TRIAL = (False, True, True, False)


@dataclass(slots=True)
class _Tally:
    """What came through in some phases."""

    rows: int = 0
    stay_ns: int = 0
    elapsed_ns: int = 0

    def add(self, other: _Tally) -> None:
        self.rows += other.rows
        self.stay_ns += other.stay_ns
        self.elapsed_ns += other.elapsed_ns

    @property
    def power(self) -> float:
        """Rows per time, over time per row; any unit, as it is for comparison."""
        return self.rows * self.rows / max(self.elapsed_ns * self.stay_ns, 1)


class InFlightSearch:
    """Adapts the number of convoys under way.

    Attributes:
        limit: most convoys under way at once, at present.
    """

    def __init__(self, first: int, most: int) -> None:
        """Begins with a number, within bounds.

        Args:
            first: before anything is known.
            most: never more than this.
        """
        self.limit = min(first, most)
        self._most = most
        self._settled = self.limit
        self._step = -1
        self._patience = self._rest = FIRST_PATIENCE
        # Of the trial under way.
        self._phase: int | None = None
        self._tallies = {False: _Tally(), True: _Tally()}
        # Of the phase under way.
        self._now = _Tally()
        self._convoys = 0
        self._skip = 1
        self._start_ns = 0

    def returned(self, rows: int, stay_ns: int, now_ns: int) -> bool:
        """Notes a convoy that returned while others waited; returns whether a phase is over.

        Args:
            rows: how many it carried.
            stay_ns: their times from receipt until now, added up.
            now_ns: the present, on the monotonic clock.
        """
        if self._skip:
            # It departed under other rules.
            self._skip -= 1
            self._start_ns = now_ns
            return False
        self._now.rows += rows
        self._now.stay_ns += stay_ns
        self._convoys += 1
        self._now.elapsed_ns = now_ns - self._start_ns
        if self._convoys < PHASE_CONVOYS and (
            self._convoys < MIN_PHASE_CONVOYS or self._now.elapsed_ns < MIN_PHASE_NS
        ):
            return False
        self._end_phase()
        return True

    def interrupt(self) -> None:
        """Notes that nobody waits: what came through meanwhile tells nothing of what could."""
        self._begin_phase(1)

    def shrink(self, factor: float) -> None:
        """Lets fewer depart, as those under way take too long; at least one."""
        self._settled = max(1, int(self._settled * factor))
        self._end_trial()

    def _end_phase(self) -> None:
        if self._phase is None:
            if self._rest:
                self._rest -= 1
                self._begin_phase(0)
            else:
                self._begin_trial()
            return
        self._tallies[TRIAL[self._phase]].add(self._now)
        self._phase += 1
        if self._phase == len(TRIAL):
            self._judge()
        else:
            self._set(TRIAL[self._phase])

    def _begin_trial(self) -> None:
        if not 1 <= self._settled + self._step <= self._most:
            self._step = -self._step
        if not 1 <= self._settled + self._step <= self._most:
            return  # there is nothing to choose from
        self._phase = 0
        self._tallies = {False: _Tally(), True: _Tally()}
        self._set(changed=False)

    def _judge(self) -> None:
        least = WORTHWHILE_GAIN if self._step > 0 else BEARABLE_LOSS
        if self._tallies[True].power >= least * self._tallies[False].power:
            self._settled += self._step
            self._patience = FIRST_PATIENCE
        else:
            self._step = -self._step
            self._patience = min(MAX_PATIENCE, 2 * self._patience)
        self._end_trial()

    def _end_trial(self) -> None:
        self._phase = None
        self._rest = self._patience
        self._set(changed=False)

    def _set(self, changed: bool) -> None:
        before, self.limit = self.limit, self._settled + (self._step if changed else 0)
        self._begin_phase(max(before, self.limit) if before != self.limit else 0)

    def _begin_phase(self, skip: int) -> None:
        """Begins to count anew, after so many returns."""
        self._start_ns += self._now.elapsed_ns
        self._now = _Tally()
        self._convoys = 0
        self._skip = skip
