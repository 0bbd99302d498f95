"""How a push stands, in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tailrace.cli.submission_table import delivery_text
from tailrace.client import Delivery, DeliveryState

SOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "attempts", "following", "reason", "words"),
    [
        (DeliveryState.PENDING, 0, None, "", "PENDING to hook"),
        (DeliveryState.PENDING, 0, SOON, "", "PENDING to hook"),
        (
            DeliveryState.PENDING,
            1,
            SOON,
            "",
            "PENDING to hook, 1 attempt, next at 2026-01-31T12:00:00.000Z",
        ),
        (
            DeliveryState.PENDING,
            2,
            SOON,
            "",
            "PENDING to hook, 2 attempts, next at 2026-01-31T12:00:00.000Z",
        ),
        (DeliveryState.DELIVERED, 1, None, "", "DELIVERED to hook"),
        (DeliveryState.DELIVERED, 3, None, "", "DELIVERED to hook, 3 attempts"),
        (
            DeliveryState.DEAD,
            9,
            None,
            "ATTEMPTS_EXHAUSTED",
            "DEAD to hook, 9 attempts (ATTEMPTS_EXHAUSTED)",
        ),
        (DeliveryState.UNSPECIFIED, 0, None, "", ""),
    ],
)
def test_delivery_tells_what_was_tried_and_what_follows(
    state: DeliveryState, attempts: int, following: datetime | None, reason: str, words: str
) -> None:
    delivery = Delivery(
        state=state,
        callback="hook",
        attempts=attempts,
        next_attempt_at=following,
        ended_at=None,
        dead_reason=reason,
    )
    assert delivery_text(delivery) == words


def test_no_delivery_has_no_words() -> None:
    assert delivery_text(None) == ""
