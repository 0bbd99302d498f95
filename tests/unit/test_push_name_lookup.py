import asyncio
import socket
import threading
from typing import Any

import pytest

from tailrace.submissions.push import name_lookup
from tailrace.submissions.push.address_rules import AddressRules, RefusedAddress
from tailrace.submissions.push.name_lookup import MAX_LOOKUPS, LookupFailed, NameLookup


def entry(address: str) -> Any:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, 6, "", (address, 0))


class Names:
    """A resolver with answers of our choice, as no real one can be had that lies on demand."""

    def __init__(self, answers: dict[str, list[str]]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.began = threading.Event()
        self.release = threading.Event()
        self.hanging: set[str] = set()

    def __call__(self, host: str, port: object, **_: object) -> list[Any]:
        self.asked.append(host)
        self.began.set()
        if host in self.hanging:
            assert self.release.wait(20)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [entry(address) for address in self.answers[host]]


async def test_addresses_come_in_the_resolvers_order_and_once_each() -> None:
    names = Names({"a.example": ["2606:4700::1", "8.8.8.8", "2606:4700::1"]})

    found = await NameLookup(AddressRules(), names).addresses("a.example")

    assert [str(address) for address in found] == ["2606:4700::1", "8.8.8.8"]


@pytest.mark.parametrize("bad", ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fd00::1"])
async def test_one_refused_address_refuses_the_name(bad: str) -> None:
    names = Names({"a.example": ["8.8.8.8", bad]})

    with pytest.raises(RefusedAddress):
        await NameLookup(AddressRules(), names).addresses("a.example")


async def test_a_name_without_address_is_told_apart() -> None:
    lookup = NameLookup(AddressRules(), Names({"empty.example": []}))

    for name in ("empty.example", "none.example"):
        with pytest.raises(LookupFailed):
            await lookup.addresses(name)


async def test_the_real_resolver_is_asked() -> None:
    with pytest.raises(RefusedAddress):
        await NameLookup(AddressRules()).addresses("localhost")
    assert await NameLookup(AddressRules(["127.0.0.0/8", "::1/128"])).addresses("localhost")


async def test_one_name_that_hangs_delays_no_other_and_is_asked_once() -> None:
    names = Names({"slow.example": ["8.8.8.8"]})
    names.answers |= {f"{number}.example": ["1.1.1.1"] for number in range(20)}
    names.hanging.add("slow.example")
    lookup = NameLookup(AddressRules(), names)
    slow = [asyncio.create_task(lookup.addresses("slow.example")) for _ in range(3)]

    others = await asyncio.gather(*(lookup.addresses(f"{number}.example") for number in range(20)))

    assert len(others) == 20
    slow[0].cancel()
    names.release.set()
    assert await slow[1] == await slow[2]
    assert slow[0].cancelled()
    assert names.asked.count("slow.example") == 1
    await lookup.addresses("slow.example")
    assert names.asked.count("slow.example") == 2


async def test_names_that_hang_together_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_lookup, "MAX_LATE", MAX_LOOKUPS)
    names = Names({"good.example": ["8.8.8.8"], "new.example": ["8.8.8.8"]})
    hanging = [f"slow-{number}.example" for number in range(2 * MAX_LOOKUPS)]
    names.hanging.update(hanging)
    lookup = NameLookup(AddressRules(), names)
    slow = [asyncio.create_task(lookup.addresses(name)) for name in hanging]
    # All have begun to wait: to be looked up, or to be answered.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not set(hanging) <= set(names.asked)

    assert await lookup.addresses("good.example")

    # Those that are known to hang have no more threads than they may have; others are asked.
    for task in slow:
        task.cancel()
    await asyncio.wait(slow)
    lookup._known_late.add("late.example")
    with pytest.raises(LookupFailed):
        await lookup.addresses("late.example")
    assert "late.example" not in names.asked
    assert await lookup.addresses("new.example")
    lookup.close()
    names.release.set()


async def test_closing_lets_go_of_who_waits() -> None:
    names = Names({})
    names.hanging.add("slow.example")
    lookup = NameLookup(AddressRules(), names)
    slow = asyncio.create_task(lookup.addresses("slow.example"))
    assert await asyncio.to_thread(names.began.wait, 20)

    lookup.close()

    with pytest.raises(asyncio.CancelledError):
        await slow
    names.release.set()
