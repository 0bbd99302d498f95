"""Sorts many ledgers at a time into a tally."""

from __future__ import annotations

import numpy as np

from tailrace.loadtest.hops.answers import quality_name
from tailrace.loadtest.hops.hop_names import COSTS, PARTS
from tailrace.loadtest.hops.hop_tally import LIVE, HopCounts, HopTally, count_kind
from tailrace.loadtest.measure.latency_histogram import MAX_NS, Int64s
from tailrace.runtime.placement import HOPS

LEDGER = ("latency", "total", "convoy_wait", "unattributed", "deadline", "rows", "quality")
"""Columns of an answer. Latency: -1 where it is not that of the prediction. Deadline: 0 if none."""

ENTRY = ("answer", "hop", "duration", "queue", "network", "work", "critical", "attempts", "code")
"""Columns of an entry. Answer: its place among the answers. Hop: its number, from 1."""


def fold_ledgers(tally: HopTally, ledgers: Int64s, entries: Int64s) -> None:
    """Adds answers to a tally.

    Args:
        tally: what they are added to.
        ledgers: the columns of `LEDGER`, shape (len(LEDGER), answers); times in ns.
        entries: the columns of `ENTRY`, shape (len(ENTRY), entries); times in ns.
    """
    answer = dict(zip(LEDGER, ledgers, strict=True))
    _judge(tally, answer)
    told = answer["total"] > 0
    timed = told & (answer["latency"] >= 0)
    spans = {name: _nanoseconds(answer[name]) for name in LEDGER[1:4]}
    spans["outside"] = np.where(timed, _nanoseconds(answer["latency"] - answer["total"]), 0)
    for name, values in spans.items():
        tally.record(name, values[timed if name == "outside" else told])
    costs = np.zeros((told.size, len(COSTS)), np.int64)
    for name in ("convoy_wait", "unattributed", "outside"):
        costs[:, COSTS.index(name)] = spans[name]
    _fold_entries(tally, entries, answer["rows"], costs)
    tally.bands.record(costs[told].sum(axis=1), costs[told])


def _judge(tally: HopTally, answer: dict[str, Int64s]) -> None:
    whole = np.where(answer["latency"] >= 0, answer["latency"], answer["total"])
    late = (answer["deadline"] > 0) & (whole > answer["deadline"])
    numbers, counts = np.unique(answer["quality"], return_counts=True)
    live = np.zeros_like(late)
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        name = quality_name(number)
        count_kind(tally.qualities, name, count)
        if name == LIVE:
            live = answer["quality"] == number
    tally.late += int(late.sum())
    tally.good += int((live & ~late).sum())
    tally.degraded += int((~live & ~late).sum())


def _fold_entries(tally: HopTally, entries: Int64s, rows: Int64s, costs: Int64s) -> None:
    """Adds what hops spent to the tally, and to the costs of their answers."""
    # In the order of `tailrace.v1.Hop`, from 1.
    for number, hop in enumerate(HOPS, start=1):
        places, _, *times, critical, attempts, codes = entries[:, entries[1] == number]
        if not places.size:
            continue
        duration, *parts = (_nanoseconds(values) for values in times)
        tally.record(hop, duration)
        on_path = critical == 1
        for part, values in zip(PARTS, parts, strict=True):
            name = f"{hop}.{part}"
            tally.record(name, values)
            np.add.at(costs[:, COSTS.index(name)], places[on_path], values[on_path])
        shares = parts[PARTS.index("work")] / np.maximum(rows[places], 1)
        counts = HopCounts(
            answers=places.size,
            critical=int(on_path.sum()),
            retried=int((attempts > 1).sum()),
            failed=int((codes != 0).sum()),
            busy_ns=float(shares.sum()),
        )
        tally.hops.setdefault(hop, HopCounts()).merge(counts)


def _nanoseconds(values: Int64s) -> Int64s:
    """Returns times that add up without overflow, whatever a server tells."""
    clipped: Int64s = np.clip(values, 0, MAX_NS)
    return clipped
