"""Functions of templates whose values are random: ghz's, and those of sprig.

Each takes first where the randomness comes from.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from random import Random

from tailrace.loadtest.requests.template.call_data import new_uuid

_ALPHA = string.ascii_letters
_ALPHANUMERIC = string.ascii_letters + string.digits
_ASCII = "".join(map(chr, range(32, 127)))
_SHORTEST = 2
_LONGEST = 16


def _characters(random: Random, count: int, among: str) -> str:
    return "".join(random.choices(among, k=max(count, 0)))


def random_string(random: Random, length: int) -> str:
    """Returns letters and digits: `length` of them, or 2 to 16 where it is 0 or less."""
    if length <= 0:
        length = random.randrange(_SHORTEST, _LONGEST + 1)
    return "".join(random.choices(_ALPHANUMERIC, k=length))


def random_int(random: Random, least: int, end: int) -> int:
    """Returns an int from `least` (0 if it is less) to below `end` (1 if it is 0 or less).

    Raises:
        ValueError: there is none.
    """
    least = max(least, 0)
    end = end if end > 0 else 1
    return _between(random, least, end)


def _between(random: Random, least: int, end: int) -> int:
    if end <= least:
        raise ValueError(f"there is no int from {least} to below {end}")
    # Faster than randrange, and even enough: the share is of 2**53.
    if end - least < 1 << 32:
        return least + int(random.random() * (end - least))
    return random.randrange(least, end)


def _rand_ascii(random: Random, count: int) -> str:
    return _characters(random, count, _ASCII)


def _rand_alpha(random: Random, count: int) -> str:
    return _characters(random, count, _ALPHA)


def _rand_alpha_num(random: Random, count: int) -> str:
    return _characters(random, count, _ALPHANUMERIC)


def _rand_numeric(random: Random, count: int) -> str:
    return _characters(random, count, string.digits)


def _shuffle(random: Random, text: str) -> str:
    return "".join(random.sample(text, len(text)))


RANDOM_FUNCTIONS: dict[str, Callable[..., object]] = {
    "newUUID": new_uuid,
    "randomString": random_string,
    "randomInt": random_int,
    "uuidv4": new_uuid,
    "randInt": _between,
    "randAlpha": _rand_alpha,
    "randAlphaNum": _rand_alpha_num,
    "randNumeric": _rand_numeric,
    "randAscii": _rand_ascii,
    "shuffle": _shuffle,
}

# What these give can stand in a JSON string as it is.
PLAIN_FUNCTIONS = frozenset(
    {"newUUID", "randomString", "randomInt", "uuidv4", "randInt", "randAlpha", "randAlphaNum"}
    | {"randNumeric"}
)
