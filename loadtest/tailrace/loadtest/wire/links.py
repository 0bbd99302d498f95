"""The connections of a channel: made, read, replaced when they are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tailrace.loadtest.wire.attempt import Attempt
from tailrace.loadtest.wire.call import NEVER
from tailrace.loadtest.wire.connection import Connection
from tailrace.loadtest.wire.dial import Dial
from tailrace.loadtest.wire.frames import ConnectionFault
from tailrace.loadtest.wire.link import Link
from tailrace.loadtest.wire.link_plan import LinkPlan
from tailrace.loadtest.wire.owner import Owner
from tailrace.loadtest.wire.poller import Poller
from tailrace.loadtest.wire.slot import Slot
from tailrace.loadtest.wire.target import Address, Resolver

_NS = 1_000_000_000
# As long as gRPC gives an attempt at least.
_ATTEMPT_S = 20.0
# Of several addresses, those are not waited for that come so long after the others.
_LATE_NS = 2 * _NS


class Links:
    """The connections of a channel.

    Attributes:
        ready: those that take calls.
        last_fault: why an attempt failed last; empty if none did.
        timer_ns: when `timer` is to be called next.
    """

    def __init__(self, owner: Owner, plan: LinkPlan, on_hopeless: Callable[[str], None]) -> None:
        """Describes them; `connect` makes them.

        Args:
            owner: the channel.
            plan: what connections are made.
            on_hopeless: told why, when none stands and the last attempt at one has failed.
        """
        self.ready: list[Connection] = []
        self.last_fault = ""
        self._owner, self._plan, self._on_hopeless = owner, plan, on_hopeless
        self._poller = Poller[Link]()
        self._slots: list[Slot] = []
        self._leaving: list[Link] = []
        self._resolver: Resolver | None = None
        self.timer_ns = 0

    def connect(self) -> None:
        """Begins an attempt at each.

        Raises:
            LoadError: the target's name has no address.
        """
        self._resolver = Resolver(self._plan.target)
        spread = len(self._resolver.addresses) if self._plan.spread else 1
        self._slots = [Slot(place) for place in range(self._plan.count * spread)]
        for slot in self._slots:
            self._attempt(slot, time.monotonic_ns())

    @property
    def attempting(self) -> bool:
        """True if an attempt is under way."""
        return any(slot.attempt is not None for slot in self._slots)

    @property
    def awaited(self) -> bool:
        """True if calls had better wait for an attempt: where they are spread, not for the last."""
        if not self._plan.spread or not self.ready:
            return self.attempting
        newest_ns = max(slot.link.stands_ns for slot in self._slots if slot.link is not None)
        return self.attempting and time.monotonic_ns() - newest_ns < _LATE_NS

    def connections(self) -> Iterator[Connection]:
        """Yields all that may have calls in flight."""
        for link in self._all():
            if link.connection is not None:
                yield link.connection

    def timer(self, now: int) -> int:
        """Does what is due, and returns when something is due next."""
        if now < self.timer_ns:
            return self.timer_ns
        # What is lost meanwhile lowers it.
        self.timer_ns = NEVER
        every_ns = int(self._plan.keepalive_s * _NS)
        for slot in self._slots:
            if slot.attempt is not None:
                self._try(slot, slot.attempt, now)
            elif slot.link is None and now >= slot.attempt_ns:
                self._attempt(slot, now)
            elif slot.link is None:
                self.timer_ns = min(self.timer_ns, slot.attempt_ns)
        for link in self._all() if every_ns else ():
            try:
                if link.stands_ns:
                    self.timer_ns = min(self.timer_ns, link.keep_alive(now, every_ns))
            except ConnectionFault as fault:
                self._lost(link, fault)
        return self.timer_ns

    def flush(self) -> int:
        """Sends what connections have to send, and returns how many bytes went out."""
        owner, sent = self._owner, 0
        connections, owner.unflushed = owner.unflushed, []
        for connection in connections:
            try:
                sent += connection.flush()
            except ConnectionFault as fault:
                for link in self._of(connection):
                    self._lost(link, fault)
            else:
                if connection.draining:
                    # Its numbers came to an end, or its last call did.
                    for link in self._of(connection):
                        self._settle(link, connection)
                if connection.pipe.backlog is not None:
                    for link in self._of(connection):
                        link.watch_writes()
        return sent

    def poll(self, wait_s: float) -> tuple[int, int]:
        """Reads and sends what can be, or waits until something can.

        Args:
            wait_s: longest wait, in seconds.

        Returns:
            Bytes sent and bytes received.
        """
        sent = received = 0
        readable, writable = self._poller.wait(wait_s)
        for link in writable:
            if link.closed:
                # It was given up meanwhile, with the attempt that it was part of.
                continue
            try:
                sent += link.flush()
            except ConnectionFault as fault:
                self._lost(link, fault)
                continue
            if link.connection is not None and link.connection.draining:
                self._settle(link, link.connection)
        for link in readable:
            if link.closed:
                # It has failed meanwhile, or another address was faster.
                continue
            try:
                received += link.read()
            except ConnectionFault as fault:
                self._lost(link, fault)
                continue
            connection = link.connection
            if connection is not None and (not link.stands_ns or connection.draining):
                self._settle(link, connection)
            # What one answer gave rise to does not wait for those of other connections.
            if self._owner.unflushed:
                sent += self.flush()
        return sent, received

    def close(self) -> None:
        """Closes all."""
        for link in self._all():
            link.close()
        self._poller.close()
        self._slots.clear()
        self._leaving.clear()
        self.ready.clear()

    def _all(self) -> list[Link]:
        return [*(link for slot in self._slots for link in slot.links), *self._leaving]

    def _attempt(self, slot: Slot, now: int) -> None:
        plan, resolver = self._plan, self._resolver
        assert resolver is not None
        addresses = slot.addresses(resolver.addresses, spread=plan.spread)
        gives_up_ns = now + int((plan.attempt_s or _ATTEMPT_S) * _NS)
        slot.attempt = Attempt(addresses, self._link, gives_up_ns)
        self._try(slot, slot.attempt, now)

    def _link(self, address: Address) -> Link:
        plan = self._plan
        return Link(self._owner, self._poller, Dial(address, plan.context, plan.server_name))

    def _try(self, slot: Slot, attempt: Attempt, now: int) -> None:
        """Goes on with an attempt, and lets calls that wait fail if it was the last hope."""
        try:
            self.timer_ns = min(self.timer_ns, attempt.advance(now))
        except ConnectionFault as fault:
            self._vacate(slot)
            self.last_fault = str(fault)
            if not self.ready and not self.attempting:
                self._on_hopeless(str(fault))

    def _of(self, connection: Connection) -> list[Link]:
        return [link for link in self._all() if link.connection is connection]

    def _settle(self, link: Link, connection: Connection) -> None:
        """Follows a connection that has come to stand, or takes no more calls."""
        slot = self._slot(link)
        if connection.ready and slot is not None and slot.attempt is not None:
            slot.attempt.won(link)
            slot.attempt, slot.link = None, link
            # Its pings are due before the attempt would have been given up.
            self.timer_ns = link.stands_ns = time.monotonic_ns()
            self.ready.append(connection)
        if not connection.draining:
            return
        if connection in self.ready:
            self.ready.remove(connection)
            self._leaving.append(link)
            if slot is not None:
                self._vacate(slot)
        if not connection.calls and link in self._leaving:
            self._leaving.remove(link)
            link.close()

    def _lost(self, link: Link, fault: ConnectionFault) -> None:
        """Replaces a connection that is gone, after its calls have ended; or tries another."""
        slot, connection = self._slot(link), link.connection
        if slot is not None and slot.attempt is not None:
            slot.attempt.failed(link, fault)
            self._try(slot, slot.attempt, time.monotonic_ns())
            return
        if slot is not None:
            self._vacate(slot)
        elif link in self._leaving:
            self._leaving.remove(link)
        else:
            return
        link.close(fault.code, str(fault))
        self.last_fault = str(fault)
        if connection is not None:
            if connection in self.ready:
                self.ready.remove(connection)
            # It is replaced first: calls that wait do so until that has failed.
            connection.fail(str(fault))

    def _slot(self, link: Link) -> Slot | None:
        return next((slot for slot in self._slots if link in slot.links), None)

    def _vacate(self, slot: Slot) -> None:
        now = time.monotonic_ns()
        slot.vacate(now)
        self.timer_ns = min(self.timer_ns, slot.attempt_ns)
        assert self._resolver is not None
        self._resolver.refresh(now)
