"""How long a request is told to wait for those before it."""

from __future__ import annotations

from tailrace.gateway.convoy_control import ConvoyBounds, ConvoyControl

MS = 1_000_000
BOUNDS = ConvoyBounds(
    max_rows=256,
    max_in_flight=4,
    max_window_ns=10 * MS,
    target_ns=500 * MS,
    max_queued_rows=10_000,
    max_bytes=1 << 22,
)


def control_after(*convoys: tuple[int, int]) -> ConvoyControl:
    """Returns a control that has seen convoys of so many rows, which took so many ms."""
    control = ConvoyControl(BOUNDS)
    for place, (rows, took_ms) in enumerate(convoys):
        now_ns = place * 100 * MS
        control.returned(rows, rows * took_ms * MS, took_ms * MS, now_ns, saturated=False)
    return control


def test_a_few_who_wait_are_not_taken_for_a_full_convoy() -> None:
    # As on a busy machine: what a row more takes varies more than what it costs.
    control = control_after(*[(1, 20), (5, 60), (2, 30), (4, 55)] * 10)
    assert 0 < control.wait_ns(1) < 60 * MS
    assert control.wait_ns(1) <= control.wait_ns(5) < control.wait_ns(255) <= control.wait_ns(256)


def test_full_convoys_take_what_the_line_through_recent_ones_says() -> None:
    control = control_after(*[(100, 50), (200, 90)] * 20)
    one = control.wait_ns(256)
    assert control.wait_ns(512) == 2 * one
    assert 2 * one < control.wait_ns(513) < 3 * one
