"""A ledger as a waterfall that people can read: where the time of one prediction went."""

from __future__ import annotations

import math

import grpc

from tailrace.client import Ledger, LedgerEntry

_BAR_WIDTH = 36
_CRITICAL, _BESIDE = "█", "░"


def render_waterfall(ledger: Ledger) -> list[str]:
    """Returns the ledger as lines of text, 98 columns wide unless there are remarks.

    One line per hop, in order of start: a bar from start to end on the scale of the whole
    prediction (hatched if the hop lay beside the critical path), then its times in
    milliseconds. Last the gateway's own share and the total, of what was allowed.
    """
    times = f"{'start':>8}{'took':>8}{'queue':>8}{'network':>9}{'work':>8}{'budget':>8}"
    lines = [f"{'hop':<13}{'':{_BAR_WIDTH}}{times}  ms"]
    lines += [_entry_line(entry, ledger.total_ms) for entry in ledger.entries]
    lines.append(f"{'unattributed':<13}{'':{_BAR_WIDTH}}{'':8}{ledger.unattributed_ms:>8.2f}")
    ruler = "└" + "─" * (_BAR_WIDTH - 2) + "┘"
    total = f"{'':8}{ledger.total_ms:>8.2f}  of {ledger.deadline_ms:.0f} allowed"
    return [*lines, f"{'total':<13}{ruler}{total}"]


def _entry_line(entry: LedgerEntry, total_ms: float) -> str:
    line = f"{entry.hop:<13}{_bar(entry, total_ms)}{entry.start_ms:>8.2f}{entry.duration_ms:>8.2f}"
    line += f"{entry.queue_ms:>8.2f}{entry.network_ms:>9.2f}{entry.work_ms:>8.2f}"
    return f"{line}{entry.budget_ms:>8.0f}{_remarks(entry)}"


def _bar(entry: LedgerEntry, total_ms: float) -> str:
    scale = _BAR_WIDTH / total_ms if total_ms > 0 else 0.0
    first = min(int(entry.start_ms * scale), _BAR_WIDTH - 1)
    end = math.ceil((entry.start_ms + entry.duration_ms) * scale)
    # However short, a hop is seen; however long, it stays inside.
    end = min(max(end, first + 1), _BAR_WIDTH)
    mark = _CRITICAL if entry.critical else _BESIDE
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
