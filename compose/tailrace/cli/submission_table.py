"""Submissions for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.console import Console

from tailrace.cli.columns import print_columns
from tailrace.client import Delivery, DeliveryState, StoredPrediction


def print_submissions(console: Console, stored: Iterable[StoredPrediction]) -> None:
    """Prints a line per submission, if there are any."""
    rows = [("id", "state", "pipeline", "tenant", "submitted", "queue ms", "run ms", "delivery")]
    rows += [
        (
            each.id,
            each.state.name,
            each.pipeline,
            each.tenant,
            instant_text(each.created_at),
            ms_text(each.queue_ms),
            ms_text(each.run_ms),
            delivery_text(each.delivery),
        )
        for each in stored
    ]
    if len(rows) > 1:
        print_columns(console, rows)
    else:
        console.print("none", style="dim")


def submission_lines(stored: StoredPrediction) -> Iterator[str]:
    """Yields lines about one submission, its outcome apart."""
    yield f"{stored.id}  {stored.state.name}"
    told = {
        "pipeline": stored.pipeline,
        "tenant": stored.tenant,
        "request": stored.request_id,
        "submitted": instant_text(stored.created_at),
        "not after": instant_text(stored.not_after),
        "queue": _with_unit(stored.queue_ms),
        "run": _with_unit(stored.run_ms),
        "runs": str(stored.run_attempts) if stored.run_attempts > 1 else "",
        "delivery": delivery_text(stored.delivery),
        "delivered": _with_unit(stored.delivery_ms),
    }
    for name, text in told.items():
        if text:
            yield f"  {name:<9}  {text}"


def delivery_text(delivery: Delivery | None) -> str:
    """Returns how a push stands, and when it is tried again, in words; empty if there is none."""
    if delivery is None or delivery.state is DeliveryState.UNSPECIFIED:
        return ""
    to = f" to {delivery.callback}" if delivery.callback else ""
    failing = delivery.state is DeliveryState.PENDING and delivery.attempts > 0
    tries = following = ""
    if failing or delivery.attempts > 1:
        tries = f", {delivery.attempts} attempt{'s' if delivery.attempts > 1 else ''}"
    if failing and delivery.next_attempt_at is not None:
        following = f", next at {instant_text(delivery.next_attempt_at)}"
    why = f" ({delivery.dead_reason})" if delivery.dead_reason else ""
    return f"{delivery.state.name}{to}{tries}{following}{why}"


def instant_text(moment: datetime | None) -> str:
    """Returns a time in UTC, to the millisecond; empty for None."""
    if moment is None:
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def ms_text(milliseconds: float | None) -> str:
    """Returns milliseconds without a unit; empty for None."""
    return "" if milliseconds is None else f"{milliseconds:.0f}"


def _with_unit(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.0f} ms"
