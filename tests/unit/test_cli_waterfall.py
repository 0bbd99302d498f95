"""The ledger as a waterfall."""

from __future__ import annotations

import dataclasses

import grpc

from tailrace.cli.waterfall import render_waterfall
from tailrace.client import Ledger, LedgerEntry
from tailrace.v1 import ledger_pb2


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
    """Returns a ledger of 10 ms, 1 ms of them unattributed, of a request that did not wait."""
    return Ledger(
        entries=entries,
        total_ms=10.0,
        unattributed_ms=1.0,
        deadline_ms=500.0,
        convoy_wait_ms=0.0,
        convoy_rows=1,
    )


def bar_of(line: str) -> str:
    """Returns the part of a line in which the bar lies."""
    return line[13:49]


def test_bars_lie_where_the_hops_lay() -> None:
    lines = render_waterfall(ledger(entry("ingest", 0.0, 5.0), entry("inference", 5.0, 5.0)))
    assert bar_of(lines[2]) == "█" * 18 + " " * 18
    assert bar_of(lines[3]) == " " * 18 + "█" * 18


def test_times_stand_beside_the_bars() -> None:
    lines = render_waterfall(ledger(entry("ingest", 1.0, 8.0)))
    assert lines[0].split() == ["hop", "start", "took", "queue", "network", "work", "budget", "ms"]
    assert lines[2][49:].split() == ["1.00", "8.00", "0.00", "2.00", "6.00", "150"]
    assert lines[-2].split() == ["unattributed", "1.00"]
    assert lines[-1].split()[-4:] == ["10.00", "of", "500", "allowed"]


def test_wait_for_the_convoy_comes_first_and_moves_the_hops() -> None:
    waited = dataclasses.replace(
        ledger(entry("ingest", 0.5, 4.5)), convoy_wait_ms=5.0, convoy_rows=32
    )
    lines = render_waterfall(waited)
    assert lines[1].startswith("convoy ")
    assert bar_of(lines[1]) == "█" * 18 + " " * 18
    assert lines[1][49:].split() == ["0.00", "5.00", "of", "32", "requests"]
    assert bar_of(lines[2]) == " " * 19 + "█" * 17
    assert lines[2][49:].split()[:2] == ["5.50", "4.50"]


def test_convoy_of_one_is_told_so() -> None:
    assert render_waterfall(ledger())[1].endswith("0.00    0.00  of 1 request")


def test_hop_beside_the_critical_path_is_hatched() -> None:
    beside = dataclasses.replace(entry("features", 0.0, 5.0), critical=False)
    assert bar_of(render_waterfall(ledger(beside))[2]).strip() == "░" * 18


def test_short_hop_at_the_end_is_still_seen() -> None:
    bar = bar_of(render_waterfall(ledger(entry("postprocess", 10.0, 0.0)))[2])
    assert bar == " " * 35 + "█"


def test_hop_that_ends_late_stays_inside() -> None:
    bar = bar_of(render_waterfall(ledger(entry("features", 5.0, 50.0)))[2])
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
    assert lines[2].endswith("  local, 2 attempts, UNAVAILABLE")
    assert lines[3].endswith("  not called")


def test_ledger_of_a_request_that_never_departed_is_drawn() -> None:
    empty = Ledger.of_message(ledger_pb2.Ledger())
    assert len(render_waterfall(empty)) == 3
