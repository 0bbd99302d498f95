"""The ledger as a waterfall."""

from __future__ import annotations

import dataclasses

import grpc

from tailrace.cli.waterfall import render_waterfall
from tailrace.client import Ledger, LedgerEntry


def entry(hop: str, start_ms: float, duration_ms: float) -> LedgerEntry:
    """Returns an entry as a good call leaves it."""
    return LedgerEntry(
        hop=hop,
        start_ms=start_ms,
        duration_ms=duration_ms,
        queue_ms=0.0,
        network_ms=duration_ms / 4,
        work_ms=duration_ms * 3 / 4,
        attempts=1,
        budget_ms=150.0,
        placement="remote",
        critical=True,
        code=grpc.StatusCode.OK,
    )


def ledger(*entries: LedgerEntry) -> Ledger:
    """Returns a ledger of 10 ms, 1 ms of them unattributed."""
    return Ledger(entries=entries, total_ms=10.0, unattributed_ms=1.0, deadline_ms=500.0)


def bar_of(line: str) -> str:
    """Returns the part of a line in which the bar lies."""
    return line[13:49]


def test_bars_lie_where_the_hops_lay() -> None:
    lines = render_waterfall(ledger(entry("ingest", 0.0, 5.0), entry("inference", 5.0, 5.0)))
    assert bar_of(lines[1]) == "█" * 18 + " " * 18
    assert bar_of(lines[2]) == " " * 18 + "█" * 18


def test_times_stand_beside_the_bars() -> None:
    lines = render_waterfall(ledger(entry("ingest", 1.0, 8.0)))
    assert lines[0].split() == ["hop", "start", "took", "queue", "network", "work", "budget", "ms"]
    assert lines[1][49:].split() == ["1.00", "8.00", "0.00", "2.00", "6.00", "150"]
    assert lines[-2].split() == ["unattributed", "1.00"]
    assert lines[-1].split()[-4:] == ["10.00", "of", "500", "allowed"]


def test_hop_beside_the_critical_path_is_hatched() -> None:
    beside = dataclasses.replace(entry("features", 0.0, 5.0), critical=False)
    assert bar_of(render_waterfall(ledger(beside))[1]).strip() == "░" * 18


def test_short_hop_at_the_end_is_still_seen() -> None:
    bar = bar_of(render_waterfall(ledger(entry("postprocess", 10.0, 0.0)))[1])
    assert bar == " " * 35 + "█"


def test_hop_that_ends_late_stays_inside() -> None:
    bar = bar_of(render_waterfall(ledger(entry("features", 5.0, 50.0)))[1])
    assert bar == " " * 18 + "█" * 18


def test_what_is_out_of_the_ordinary_is_remarked_on() -> None:
    odd = dataclasses.replace(
        entry("features", 0.0, 0.0),
        attempts=2,
        placement="local",
        code=grpc.StatusCode.UNAVAILABLE,
    )
    refused = dataclasses.replace(entry("inference", 0.0, 0.0), attempts=0)
    lines = render_waterfall(ledger(odd, refused))
    assert lines[1].endswith("  local, 2 attempts, UNAVAILABLE")
    assert lines[2].endswith("  not called")


def test_empty_ledger_is_drawn() -> None:
    empty = Ledger(entries=(), total_ms=0.0, unattributed_ms=0.0, deadline_ms=0.0)
    assert len(render_waterfall(empty)) == 3
