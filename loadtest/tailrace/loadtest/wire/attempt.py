"""An attempt at a connection, for which addresses are in a race."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from tailrace.loadtest.wire.frames import ConnectionFault
from tailrace.loadtest.wire.link import Link
from tailrace.loadtest.wire.target import Address

# RFC 8305, section 8, "Connection Attempt Delay"; gRPC's pick_first has the same.
STAGGER_NS = 250_000_000
# While others are silent, those that have failed are tried again: a server may be back by then.
_AGAIN_NS = 1_000_000_000


class Attempt:
    """Tries addresses until one of them stands: the Happy Eyeballs of RFC 8305, as gRPC has them.

    The next address is begun when one fails, or when 250 ms have passed; those before it go on.
    Whoever is first to answer in HTTP/2 is taken, as one that only accepts may never answer.

    Attributes:
        links: those that are tried now, in the order in which they were begun.
    """

    def __init__(
        self, addresses: Iterable[Address], begin: Callable[[Address], Link], gives_up_ns: int
    ) -> None:
        """Describes it; `advance` begins.

        Args:
            addresses: to be tried, in the resolver's order.
            begin: makes a link to an address.
            gives_up_ns: when one of them has to stand.
        """
        self.links: list[Link] = []
        self._left = deque(interleaved(list(addresses)))
        self._begin, self._gives_up_ns = begin, gives_up_ns
        self._next_ns = 0
        self._failed: list[Address] = []
        self._faults: list[str] = []

    def advance(self, now: int) -> int:
        """Begins what is due, and returns when to look again.

        Raises:
            ConnectionFault: all addresses have failed, or the time is up; says what was wrong with
                each.
        """
        if now >= self._gives_up_ns:
            for link in self.links:
                self._note(link, link.late)
            raise self._fault()
        while self._left and (not self.links or now >= self._next_ns):
            link = self._begin(self._left.popleft())
            self.links.append(link)
            self._next_ns = now + STAGGER_NS
            try:
                link.advance()
            except ConnectionFault as fault:
                self.failed(link, fault)
        if not self.links:
            raise self._fault()
        if self._failed and not self._left:
            self._left.extend(self._failed)
            self._failed.clear()
            self._next_ns = now + _AGAIN_NS
        return min(self._next_ns, self._gives_up_ns) if self._left else self._gives_up_ns

    def failed(self, link: Link, fault: ConnectionFault) -> None:
        """Notes that an address has failed: `advance` begins the next one."""
        self._note(link, str(fault))
        self._failed.append(link.address)
        self.links.remove(link)
        link.close(fault.code, str(fault))
        self._next_ns = 0

    def won(self, winner: Link) -> None:
        """Closes the links to all addresses but one."""
        for link in self.links:
            if link is not winner:
                link.close()
        self.links.clear()

    def close(self) -> None:
        """Closes all links."""
        for link in self.links:
            link.close()
        self.links.clear()

    def _note(self, link: Link, what: str) -> None:
        self._faults.append(f"{link.address}: {what}")

    def _fault(self) -> ConnectionFault:
        self.close()
        return ConnectionFault("; ".join(dict.fromkeys(self._faults)))


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """Returns addresses of both families in turns, the first one's first (RFC 8305, section 4)."""
    first = [each for each in addresses if each.family == addresses[0].family]
    other = [each for each in addresses if each.family != addresses[0].family]
    both = [each for pair in zip(first, other, strict=False) for each in pair]
    return both + first[len(other) :] + other[len(first) :]
