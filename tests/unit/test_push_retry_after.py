import pytest

from tailrace.submissions.push.retry_after import retry_after_s

NOW = 1_790_000_000.0  # Mon, 21 Sep 2026 14:13:20 GMT


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("999999999", 86_400.0),
        ("Mon, 21 Sep 2026 14:14:20 GMT", 60.0),
        ("Monday, 21-Sep-26 14:14:20 GMT", 60.0),
        ("Mon Sep 21 14:14:20 2026", 60.0),
        ("Mon, 21 Sep 2026 14:12:20 GMT", 0.0),
        ("Mon, 21 Sep 2099 14:12:20 GMT", 86_400.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("1" * 40, None),
        ("٣", None),
        ("Mon, 99 Sep 2026 14:14:20 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, wait_s: float | None) -> None:
    assert retry_after_s(text, NOW) == wait_s
