"""What Redis answers to the commands of a lookup: which refusals are of stored values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tailrace.features.redis_errors import RedisRefused
from tailrace.features.store import Unreadable

# Answers that are about one key: it holds another type of value, or a damaged HyperLogLog.
_ABOUT_A_KEY = ("WRONGTYPE", "INVALIDOBJ")


def told_apart(values: Any, replies: Sequence[Any]) -> tuple[Sequence[bytes | None], Sequence[Any]]:
    """Returns values and replies, with `Unreadable` in place of refusals that concern one key.

    Args:
        values: the reply to MGET, or the RedisRefused that it got.
        replies: of the other commands, or the RedisRefused of each.

    Raises:
        RedisRefused: the first refusal that says more, such as LOADING.
    """
    kept: list[Any] = []
    for reply in (values, *replies):
        if isinstance(reply, RedisRefused):
            if reply is values or reply.error_code not in _ABOUT_A_KEY:
                raise reply
            kept.append(Unreadable(reply.error_code))
        else:
            kept.append(reply)
    return kept[0], kept[1:]
