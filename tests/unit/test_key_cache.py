"""The cache of keys by itself: its bound, who leaves first, and how long entries are used."""

from __future__ import annotations

import gc
import tracemalloc
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.features.key_cache import ENTRY_BYTES, KeyCache

DAY_S = 86_400.0


class Clock:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def values(cache: KeyCache, *keys: str) -> list[bytes | None | str]:
    """Returns the value of each key, "-" where there is no entry."""
    return ["-" if entry is None else entry[0] for entry in cache.find(keys)]


def test_absence_is_kept_like_any_value() -> None:
    cache = KeyCache(10_000, DAY_S)
    cache.put(["a", "b"], [b"1", None])
    assert values(cache, "a", "b", "c") == [b"1", None, "-"]
    assert len(cache) == 2
    assert cache.bytes == 2 * (ENTRY_BYTES + 1) + 1


def test_the_least_recently_used_leaves_first() -> None:
    cache = KeyCache(3 * (ENTRY_BYTES + 2), DAY_S)
    cache.put(["a", "b", "c"], [b"1", b"2", b"3"])
    assert values(cache, "a") == [b"1"]
    cache.put(["d"], [b"4"])
    assert values(cache, "b", "c", "a", "d") == ["-", b"3", b"1", b"4"]
    assert cache.evictions == 1


def test_a_value_larger_than_the_bound_is_not_kept_and_drives_nothing_out() -> None:
    cache = KeyCache(ENTRY_BYTES + 100, DAY_S)
    cache.put(["a"], [b"1"])
    cache.put(["big"], [bytes(101)])
    assert values(cache, "a", "big") == [b"1", "-"]
    cache.put(["a"], [bytes(101)])
    assert values(cache, "a") == ["-"]
    assert (len(cache), cache.bytes) == (0, 0)


def test_an_entry_is_used_for_its_time_after_it_was_read_however_often() -> None:
    clock = Clock()
    cache = KeyCache(10_000, 10.0, now_s=clock)
    cache.put(["a"], [b"1"])
    for _ in range(9):
        clock.now_s += 1
        assert values(cache, "a") == [b"1"]
    clock.now_s += 1
    assert values(cache, "a") == ["-"]
    assert cache.bytes == 0
    cache.put(["a"], [b"2"])
    assert values(cache, "a") == [b"2"]


def test_entries_are_held_until_they_are_dropped_replaced_or_evicted() -> None:
    cache = KeyCache(3 * (ENTRY_BYTES + 2), DAY_S)
    cache.put(["a", "b", "c"], [b"1", b"2", b"3"])
    entries = {key: entry for key, entry in zip("abc", cache.find("abc"), strict=True) if entry}
    assert cache.holds(entries)
    cache.put(["a"], [b"1"])
    assert not cache.holds(entries), "read anew, even if it is the same"
    del entries["a"]
    assert cache.holds(entries)
    assert cache.drop("b")
    assert not cache.drop("b")
    assert not cache.holds(entries)
    del entries["b"]
    cache.put(["d", "e"], [b"4", b"5"])
    assert not cache.holds(entries)
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


KEYS = st.lists(st.sampled_from(["a", "bb", "ccc", "é", "k" * 40]), max_size=5)


@given(
    bound=st.integers(0, 4 * ENTRY_BYTES),
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "find", "drop"]), KEYS, st.integers(0, 300)), max_size=40
    ),
)
def test_it_never_exceeds_its_bound_and_forgets_in_order_of_use(
    bound: int, steps: list[tuple[str, list[str], int]]
) -> None:
    cache = KeyCache(bound, DAY_S)
    model: OrderedDict[str, bytes] = OrderedDict()

    def size(key: str) -> int:
        return ENTRY_BYTES + (len(key) if key.isascii() else 8 * len(key)) + len(model[key])

    for action, keys, length in steps:
        if action == "put":
            cache.put(keys, [bytes(length)] * len(keys))
            for key in keys:
                model.pop(key, None)
                model[key] = bytes(length)
                if size(key) > bound:
                    del model[key]
            while sum(map(size, model)) > bound:
                model.popitem(last=False)
        elif action == "find":
            assert values(cache, *keys) == [model.get(key, "-") for key in keys]
            for key in keys:
                if key in model:
                    model.move_to_end(key)
        else:
            for key in keys:
                assert cache.drop(key) == (model.pop(key, None) is not None)
        assert cache.bytes == sum(map(size, model)) <= bound
        assert len(cache) == len(model)


@pytest.mark.parametrize("value_bytes", [0, 80, 2000])
def test_it_takes_no_more_memory_than_its_bound(value_bytes: int) -> None:
    bound = 4_000_000
    cache = KeyCache(bound, DAY_S)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        number = 0
        while not cache.evictions:
            for _ in range(100):
                number += 1
                cache.put([f"tailrace:fv:thing:1:entity-{number:08}"], [bytes(value_bytes)])
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.5 * bound < used <= bound
