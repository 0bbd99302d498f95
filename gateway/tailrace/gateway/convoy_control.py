"""How large convoys may be, how many may be under way, and how long to gather for one.

Three rules, each within hard bounds:

- *Deadline.* Where the 95th percentile of the chain's time rises above a share of the pipeline's
  default deadline, size and number shrink by a quarter; while it stays below, a size that was
  reached grows again by a sixteenth of its bound (additive increase, multiplicative decrease, as
  in Clipper: Crankshaw et al., NSDI 2017).
- *Number in flight.* See `in_flight_search.py`.
- *Company.* A convoy departs once it carries its fair share of all requests that have lately been
  present at once, waiting or under way: their number divided by the number in flight. So convoys
  do not bunch together, one large and the next one nearly empty. No request waits for company
  longer than the chain's time divided by the number in flight. Where requests come one at a time,
  the share is one, and each departs at once; so does the first one after a silence.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tailrace.gateway.in_flight_search import InFlightSearch

SMOOTHING = 0.1
PRESENT_SMOOTHING = 0.2
LOSS_SMOOTHING = 0.5
SILENCE_CHAINS = 4
COMPANY_ROWS = 1.5
DURATIONS_KEPT = 64
PERCENTILE = 0.95
SHRINK = 0.75
GROWTH_STEPS = 16
MIN_DURATIONS = 4


@dataclass(frozen=True, slots=True)
class ConvoyBounds:
    """What the control stays within.

    Attributes:
        max_rows: most requests of one convoy.
        max_in_flight: most convoys under way at once.
        max_window_ns: longest wait for company.
        target_ns: what the 95th percentile of the chain's time is kept below.
        max_queued_rows: most requests that wait.
        max_bytes: most bytes of the requests of one convoy; a single one may have more.
        first_in_flight: convoys under way at once, before anything is known.
    """

    max_rows: int
    max_in_flight: int
    max_window_ns: int
    target_ns: int
    max_queued_rows: int
    max_bytes: int
    first_in_flight: int = 2


class _ChainTime:
    """What the chain takes, by size of the convoy: a line through the recent ones."""

    def __init__(self) -> None:
        self.mean_ns = 0.0
        self._mean_rows = 0.0
        self._variance = 0.0
        self._covariance = 0.0

    def observe(self, rows: int, duration_ns: int) -> None:
        if not self.mean_ns:
            self.mean_ns, self._mean_rows = float(duration_ns), float(rows)
            return
        rows_off, duration_off = rows - self._mean_rows, duration_ns - self.mean_ns
        self._mean_rows += SMOOTHING * rows_off
        self.mean_ns += SMOOTHING * duration_off
        rest = (1 - SMOOTHING) * SMOOTHING
        self._variance = (1 - SMOOTHING) * self._variance + rest * rows_off**2
        self._covariance = (1 - SMOOTHING) * self._covariance + rest * rows_off * duration_off

    def estimate_ns(self, rows: int) -> float:
        """Returns what a convoy takes; no less than the mean, as larger ones take no less."""
        # Sizes that hardly differ say nothing of the slope.
        slope = self._covariance / self._variance if self._variance >= 1 else 0.0
        return self.mean_ns + max(slope, 0.0) * max(rows - self._mean_rows, 0.0)


class ConvoyControl:
    """Adapts to how long the chain takes.

    Attributes:
        size_limit: most requests of the next convoy.
    """

    def __init__(self, bounds: ConvoyBounds) -> None:
        """Starts with full size, and the number in flight that the bounds say."""
        self._bounds = bounds
        self.size_limit = bounds.max_rows
        self._search = InFlightSearch(bounds.first_in_flight, bounds.max_in_flight)
        self._chain = _ChainTime()
        self._present = 1.0
        self._rows = 1.0
        self._last_departure_ns = 0
        self._durations_ns: deque[int] = deque(maxlen=DURATIONS_KEPT)
        self._size_reached = False

    @property
    def in_flight_limit(self) -> int:
        """Most convoys under way at once."""
        return self._search.limit

    @property
    def chain_ns(self) -> int:
        """What the chain typically takes, in nanoseconds; 0 before the first convoy."""
        return int(self._chain.mean_ns)

    @property
    def company(self) -> bool:
        """Whether requests have lately come together."""
        return self._rows > COMPANY_ROWS

    def share(self, now_ns: int) -> int:
        """Returns how many requests make a convoy worth its departure.

        Args:
            now_ns: the present, on the monotonic clock.
        """
        if now_ns - self._last_departure_ns > SILENCE_CHAINS * self._chain.mean_ns:
            # Whoever was present then is no more.
            self._present = self._rows = 1.0
        return min(self.size_limit, round(self._present / self.in_flight_limit))

    def window_ns(self) -> int:
        """Returns the longest that a request waits for company."""
        return min(self._bounds.max_window_ns, int(self._chain.mean_ns / self.in_flight_limit))

    def wait_ns(self, rows_ahead: int) -> int:
        """Returns how long that many waiting requests take to depart, in convoys of full size.

        The last one carries what is left. What full ones take is told by a line through recent
        convoys, and where those were small, that says nothing of one of a few requests.
        """
        full, rest = divmod(rows_ahead, self.size_limit)
        chains_ns = full * self._chain.estimate_ns(self.size_limit)
        if rest:
            chains_ns += self._chain.estimate_ns(rest)
        return int(chains_ns / self.in_flight_limit)

    def is_slow(self, duration_ns: int) -> bool:
        """Returns whether a convoy takes longer than usual, or than it may."""
        return duration_ns > min(self._chain.mean_ns, self._bounds.target_ns)

    def departed(self, rows: int, present: int, now_ns: int) -> None:
        """Notes a departure.

        Args:
            rows: how many the convoy carries.
            present: all that are under way or wait, these included.
            now_ns: the present, on the monotonic clock.
        """
        self._last_departure_ns = now_ns
        self._size_reached |= rows >= self.size_limit
        # Those who waited in vain for company that has gone are not to wait for long.
        smoothing = PRESENT_SMOOTHING if 2 * present > self._present else LOSS_SMOOTHING
        self._present += smoothing * (present - self._present)
        self._rows += smoothing * (rows - self._rows)

    def returned(
        self, rows: int, stay_ns: int, duration_ns: int, now_ns: int, *, saturated: bool
    ) -> None:
        """Notes a convoy that went through the whole chain.

        Args:
            rows: how many it carried.
            stay_ns: their times from receipt until now, added up.
            duration_ns: how long it took.
            now_ns: the present, on the monotonic clock.
            saturated: whether requests waited for its return.
        """
        self._chain.observe(rows, duration_ns)
        self._durations_ns.append(duration_ns)
        if not saturated:
            self._search.interrupt()
            self._keep_deadline()
        elif self._search.returned(rows, stay_ns, now_ns):
            self._keep_deadline()

    def _keep_deadline(self) -> None:
        """Shrinks what may depart where the chain is too slow, and lets the size grow again."""
        if len(self._durations_ns) >= MIN_DURATIONS and self._p95_ns() > self._bounds.target_ns:
            self.size_limit = max(1, int(self.size_limit * SHRINK))
            self._search.shrink(SHRINK)
            # The next verdict is about convoys of the new size.
            self._durations_ns.clear()
        elif self._size_reached:
            self._size_reached = False
            step = max(1, self._bounds.max_rows // GROWTH_STEPS)
            self.size_limit = min(self._bounds.max_rows, self.size_limit + step)

    def _p95_ns(self) -> int:
        ordered = sorted(self._durations_ns)
        return ordered[int(PERCENTILE * (len(ordered) - 1))]
