"""How objectives were kept, as a table for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from tailrace.cli.slo.kept import Kept
from tailrace.cli.slo.objective import number

_BURNS_SHOWN = ("5m", "1h", "6h", "3d")
# Of a window that has data from its very beginning, the first may be as late as this.
_BEGINS_LATE = 0.02


def report_table(kept: Sequence[Kept]) -> Table:
    """Returns a row for each objective."""
    burns = (f"burn {window}" for window in _BURNS_SHOWN)
    headings = ("pipeline", "objective", "promised", "kept", "budget left", "left", "outage")
    table = Table(box=None, pad_edge=False)
    for heading in ("", *headings, *burns, "hop"):
        right = heading in headings[2:] or heading.startswith("burn")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for each in kept:
        table.add_row(*_cells(each))
    return table


def notes(kept: Sequence[Kept]) -> list[str]:
    """Returns lines that say what was read, and since when there is any of it."""
    lines = []
    windows = sorted({each.window for each in kept}, key=lambda window: window.seconds)
    sources = {each.source for each in kept}
    read = {"rules": "the recording rules", "metrics": "the processes' own metrics"}
    lines.append(
        f"over {' and '.join(window.text for window in windows)}, "
        f"from {' and '.join(sorted(read[source] for source in sources))}"
    )
    begun = [each.since for each in kept if each.since is not None]
    if begun:
        since, longest = min(begun), windows[-1].seconds
        late = since - (datetime.now(UTC).timestamp() - longest)
        if late > _BEGINS_LATE * longest:
            instant = datetime.fromtimestamp(since, UTC)
            lines.append(f"the data begin at {instant:%Y-%m-%d %H:%M:%S} UTC: what was before is")
            lines[-1] += " not known, and the budget is that of what is"
    return lines


def report_document(kept: Sequence[Kept]) -> list[dict[str, Any]]:
    """Returns an object for each objective; what is not known is null."""
    return [
        {
            "pipeline": each.objective.pipeline,
            "objective": each.objective.name,
            "kind": each.objective.kind,
            "hop": each.objective.hop or None,
            "promise": each.objective.sentence,
            "window": each.window.text,
            "source": each.source.value,
            "since": None if each.since is None else _instant(each.since),
            "promised": float(each.objective.percent) / 100,
            "kept": each.good_share,
            "broken": each.broken,
            "events": each.events,
            "bad_events": each.bad if each.events is not None else None,
            "budget_left": each.budget_left,
            "budget_left_events": each.budget_left_events,
            "budget_left_minutes": each.budget_left_minutes,
            "burn_rates": each.burn_rates,
            "worst_hop": each.worst_hop and {"hop": each.worst_hop[0], "share": each.worst_hop[1]},
        }
        for each in kept
    ]


def _cells(each: Kept) -> list[str]:
    objective = each.objective
    start = [escape(objective.pipeline), escape(objective.name), f"{number(objective.percent)} %"]
    good, left, events, minutes = (
        each.good_share,
        each.budget_left,
        each.budget_left_events,
        each.budget_left_minutes,
    )
    if good is None or left is None or events is None or minutes is None:
        blanks = [""] * (len(_BURNS_SHOWN) + 3)
        return [
            "[dim]-[/]",
            *start,
            f"[dim]no {'data' if each.events is None else 'events'}[/]",
            *blanks,
            escape(objective.hop),
        ]
    colour = "red" if each.broken else "green"
    return [
        f"[{colour}]{'broken' if each.broken else 'kept'}[/]",
        *start,
        f"{good:.3%}".replace("%", " %"),
        f"[{colour}]{left:.1%}[/]".replace("%", " %"),
        f"{events:,.0f} of {each.events:,.0f}",
        _minutes(minutes),
        *[_burn(each.burn_rates.get(window)) for window in _BURNS_SHOWN],
        _hop(each),
    ]


def _burn(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.2f}"


def _hop(each: Kept) -> str:
    if each.worst_hop is None:
        return ""
    name, share = each.worst_hop
    return escape(name) if each.objective.hop else f"{escape(name)} ({share:.0%})"


def _minutes(minutes: float) -> str:
    return f"{minutes:,.1f} min" if abs(minutes) < 120 else f"{minutes / 60:,.1f} h"


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
