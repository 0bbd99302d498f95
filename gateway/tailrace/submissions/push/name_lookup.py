"""Names to addresses that may be connected to: looked up once, and every address checked."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tailrace.submissions.push.address_rules import AddressRules
from tailrace.submissions.push.target import IpAddress

GetAddrInfo: TypeAlias = Callable[..., list[Any]]

# Lookups that have just begun. One that has taken longer counts as late, and makes room for others.
MAX_LOOKUPS = 64
LATE_AFTER_S = 0.5
# As many may be late before names that have been late are not looked up: a thread waits for each.
MAX_LATE = 256
MAX_KNOWN_LATE = 10_000


class LookupFailed(Exception):
    """A name has no address, or nobody who knows it answered."""


class NameLookup:
    """Looks names up in threads, so that one name server that hangs delays no other name.

    One lookup of a name is under way at a time, whoever wants it; no answer is kept. Names that
    hang, however many, hold up no others for longer than it takes to tell that they do.
    """

    def __init__(
        self, rules: AddressRules, get_addr_info: GetAddrInfo = socket.getaddrinfo
    ) -> None:
        """Takes the rules, and the system's resolver or another of the same shape."""
        self._rules = rules
        self._get_addr_info = get_addr_info
        self._under_way: dict[str, asyncio.Future[list[IpAddress]]] = {}
        self._begun = asyncio.Semaphore(MAX_LOOKUPS)
        self._late: set[str] = set()
        # Names that were late the last time.
        self._known_late: set[str] = set()

    async def addresses(self, host: str) -> list[IpAddress]:
        """Returns the addresses of a name, best first; all of them may be connected to.

        Raises:
            LookupFailed: it has none, or was late the last time and too many others are now.
            RefusedAddress: one of them may not be connected to.
        """
        under_way = self._under_way.get(host)
        if under_way is None:
            under_way = asyncio.ensure_future(self._look_up(host))
            self._under_way[host] = under_way
            under_way.add_done_callback(lambda done: self._ended(host, done))
        # Who gives up waiting does not end it for the others.
        found = await asyncio.shield(under_way)
        for address in found:
            self._rules.check(address)
        return found

    def close(self) -> None:
        """Gives up what is under way; whoever waits for it is cancelled."""
        for under_way in list(self._under_way.values()):
            under_way.cancel()

    def _ended(self, host: str, under_way: asyncio.Future[list[IpAddress]]) -> None:
        del self._under_way[host]
        self._late.discard(host)
        if not under_way.cancelled():
            # It may have failed after everybody had given up on it.
            under_way.exception()

    async def _look_up(self, host: str) -> list[IpAddress]:
        if host in self._known_late and len(self._late) >= MAX_LATE:
            raise LookupFailed(f"{host} was late, and too many others are")
        async with self._begun:
            answer = _in_thread(lambda: self._get_addr_info(host, None, type=socket.SOCK_STREAM))
            try:
                await asyncio.wait([answer], timeout=LATE_AFTER_S)
            except asyncio.CancelledError:
                answer.cancel()
                raise
        if answer.done():
            self._known_late.discard(host)
        else:
            self._note_late(host)
        try:
            return _addresses(await answer)
        except (OSError, UnicodeError) as error:
            raise LookupFailed(f"{host} has no address") from error

    def _note_late(self, host: str) -> None:
        self._late.add(host)
        if len(self._known_late) >= MAX_KNOWN_LATE:
            self._known_late.clear()
        self._known_late.add(host)


def _addresses(entries: Sequence[Any]) -> list[IpAddress]:
    addresses: list[IpAddress] = []
    for family, _, _, _, place in entries:
        if family in (socket.AF_INET, socket.AF_INET6):
            address = ipaddress.ip_address(place[0])
            if address not in addresses:
                addresses.append(address)
    if not addresses:
        raise LookupFailed("the name has no internet address")
    return addresses


def _in_thread(work: Callable[[], list[Any]]) -> asyncio.Future[list[Any]]:
    # A thread of its own that ends with the process: a pool would be waited for at the end.
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[Any]] = loop.create_future()

    def settle(result: list[Any] | None, error: Exception | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result or [])

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as caught:  # handed over to who waits
            error = caught
        # The loop may be closed by now, with nobody left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="name-lookup", daemon=True).start()
    return done
