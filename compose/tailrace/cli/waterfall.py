"""A ledger as a waterfall that people can read: where the time of one prediction went."""

from __future__ import annotations

import math

import grpc

from tailrace.client import Ledger, LedgerEntry

_BAR_WIDTH = 36
_CRITICAL, _BESIDE = "█", "░"


def render_waterfall(ledger: Ledger) -> list[str]:
    """Returns the ledger as lines of text, 98 columns wide unless there are remarks.

    First the wait for the convoy, with the number of its requests. Then one line per hop, in
    order of start: a bar from start to end on the scale of the whole prediction (hatched if the
    hop lay beside the critical path), then its times in milliseconds, the start counted from
    receipt. Last the gateway's own share and the total, of what was allowed.
    """
    times = f"{'start':>8}{'took':>8}{'queue':>8}{'network':>9}{'work':>8}{'budget':>8}"
    lines = [f"{'hop':<13}{'':{_BAR_WIDTH}}{times}  ms"]
    if ledger.convoy_rows:
        lines.append(_convoy_line(ledger))
    lines += [_entry_line(entry, ledger) for entry in ledger.entries]
    lines.append(f"{'unattributed':<13}{'':{_BAR_WIDTH}}{'':8}{ledger.unattributed_ms:>8.2f}")
    ruler = "└" + "─" * (_BAR_WIDTH - 2) + "┘"
    total = f"{'':8}{ledger.total_ms:>8.2f}  of {ledger.deadline_ms:.0f} allowed"
    return [*lines, f"{'total':<13}{ruler}{total}"]


def _convoy_line(ledger: Ledger) -> str:
    bar = _bar(0.0, ledger.convoy_wait_ms, ledger.total_ms, _CRITICAL)
    requests = "1 request" if ledger.convoy_rows == 1 else f"{ledger.convoy_rows} requests"
    return f"{'convoy':<13}{bar}{0.0:>8.2f}{ledger.convoy_wait_ms:>8.2f}  of {requests}"


def _entry_line(entry: LedgerEntry, ledger: Ledger) -> str:
    start_ms = ledger.convoy_wait_ms + entry.start_ms
    mark = _CRITICAL if entry.critical else _BESIDE
    bar = _bar(start_ms, entry.duration_ms, ledger.total_ms, mark)
    line = f"{entry.hop:<13}{bar}{start_ms:>8.2f}{entry.duration_ms:>8.2f}"
    line += f"{entry.queue_ms:>8.2f}{entry.network_ms:>9.2f}{entry.work_ms:>8.2f}"
    return f"{line}{entry.budget_ms:>8.0f}{_remarks(entry)}"


def _bar(start_ms: float, duration_ms: float, total_ms: float, mark: str) -> str:
    scale = _BAR_WIDTH / total_ms if total_ms > 0 else 0.0
    first = min(int(start_ms * scale), _BAR_WIDTH - 1)
    end = math.ceil((start_ms + duration_ms) * scale)
    # However short, a hop is seen; however long, it stays inside.
    end = min(max(end, first + 1), _BAR_WIDTH)
    return " " * first + mark * (end - first) + " " * (_BAR_WIDTH - end)


def _remarks(entry: LedgerEntry) -> str:
    remarks = []
    if entry.placement != "remote":
        remarks.append(entry.placement)
    if entry.attempts != 1:
        remarks.append(f"{entry.attempts} attempts" if entry.attempts else "not called")
    if entry.code is not grpc.StatusCode.OK:
        remarks.append(entry.code.name)
    return f"  {', '.join(remarks)}" if remarks else ""
