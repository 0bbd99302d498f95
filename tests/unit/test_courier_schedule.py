"""When a result is tried again, and which settings of it are refused."""

from __future__ import annotations

import pytest

from tailrace.courier.retry_schedule import RetrySchedule
from tailrace.runtime.config import MAX_RETRY_S, CourierSettings, SettingsError, load_settings


def test_a_wait_is_the_longer_of_the_schedules_and_the_receivers() -> None:
    schedule = RetrySchedule((5, 300), 0.1, random_share=lambda: 1.0)

    assert schedule.delay_ms(1, None) == 5_500
    assert schedule.delay_ms(1, 0.0) == 5_500
    assert schedule.delay_ms(2, 86_400.0) == 86_400_000
    assert schedule.delay_ms(3, 60.0) is None


def test_without_waits_there_is_one_attempt() -> None:
    assert RetrySchedule((), 0.0).delay_ms(1, None) is None


@pytest.mark.parametrize("wait_s", ["NaN", "Infinity", "-1", str(MAX_RETRY_S + 1)])
def test_waits_that_cannot_be_kept_are_refused(
    monkeypatch: pytest.MonkeyPatch, wait_s: str
) -> None:
    monkeypatch.setenv("TAILRACE_COURIER_RETRY_S", f"[5, {wait_s}]")

    with pytest.raises(SettingsError, match="COURIER_RETRY_S_1"):
        load_settings(CourierSettings, queue_redis_url="redis://127.0.0.1")
