"""All rows of a view in the store at once: found, removed, copied, written in bounded batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from tailrace.features.pointer import KeyNames
from tailrace.features.redis_link import RedisLink

_ROWS_PER_COMMAND = 512
_BYTES_PER_COMMAND = 1024 * 1024
# Few, as lookups wait while Redis works on a batch.
_SCAN_COUNT = 250


async def remove_rows(
    link: RedisLink,
    names: KeyNames,
    view: str,
    kept: Sequence[int],
    may_go_on: Callable[[], None],
) -> None:
    """Removes all rows of a view that are not of the generations `kept`.

    Args:
        link: to the store.
        names: names of the keys.
        view: name of the view.
        kept: the generations that stay.
        may_go_on: called before each batch is removed; raises if it must not be any more.

    Raises:
        Unavailable: the store cannot be reached or cannot serve.
    """
    prefixes = tuple(names.generation(view, generation).encode() for generation in kept)
    async for keys in _scan(link, f"{names.rows(view)}*"):
        gone = [key for key in keys if not key.startswith(prefixes)]
        if gone:
            may_go_on()
            await link.call("UNLINK", *gone)


async def copy_rows(
    link: RedisLink,
    names: KeyNames,
    view: str,
    source: int,
    target: int,
    may_go_on: Callable[[], None],
) -> int:
    """Copies the rows of one generation to another inside Redis; returns their number.

    Args:
        link: to the store.
        names: names of the keys.
        view: name of the view.
        source: the generation to copy.
        target: the generation to make, which has no rows yet.
        may_go_on: called before each batch is copied; raises if it must not be any more.

    Raises:
        Unavailable: the store cannot be reached or cannot serve, or is full.
    """
    start = len(names.generation(view, source))
    prefix = names.generation(view, target).encode()
    copied = 0
    async for keys in _scan(link, f"{names.generation(view, source)}*"):
        may_go_on()
        # A key may be found twice, and is then copied and counted once.
        copied += sum(await link.call_many([("COPY", key, prefix + key[start:]) for key in keys]))
    return copied


def set_commands(
    prefix: str, keys: Sequence[str], rows: Sequence[bytes]
) -> list[list[str | bytes]]:
    """Returns MSETs that store rows under `prefix` and their keys, each of bounded size."""
    commands: list[list[str | bytes]] = []
    for start, stop in chunks(rows):
        command: list[str | bytes] = ["MSET"] * (1 + 2 * (stop - start))
        command[1::2] = [prefix + key for key in keys[start:stop]]
        command[2::2] = rows[start:stop]
        commands.append(command)
    return commands


def chunks(rows: Sequence[bytes]) -> list[tuple[int, int]]:
    """Returns start and stop of runs of rows, each fit to be sent in one command."""
    runs: list[tuple[int, int]] = []
    for start in range(0, len(rows), _ROWS_PER_COMMAND):
        stop = min(start + _ROWS_PER_COMMAND, len(rows))
        if sum(map(len, rows[start:stop])) <= _BYTES_PER_COMMAND:
            runs.append((start, stop))
            continue
        size = 0
        for place in range(start, stop):
            size += len(rows[place])
            if size > _BYTES_PER_COMMAND and place > start:
                runs.append((start, place))
                start, size = place, len(rows[place])
        runs.append((start, stop))
    return runs


async def _scan(link: RedisLink, pattern: str) -> AsyncIterator[list[bytes]]:
    cursor = b"0"
    while True:
        cursor, keys = await link.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
        if keys:
            yield keys
        if cursor == b"0":
            return
