"""Rows with known outcomes, and the events that became known before and between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from tailrace.cli.example import ReplaySection
from tailrace.cli.held_out import HeldOutRow
from tailrace.cli.known_events import KnownEvent, read_events
from tailrace.cli.local.errors import LaunchError


@dataclass(frozen=True)
class Replay:
    """What a mesh is tried with.

    Attributes:
        rows: what to ask; where there are events, in order of their instants.
        events: in the order in which they became known; none if the rows need none.
    """

    rows: Sequence[HeldOutRow]
    events: Sequence[KnownEvent]


def read_replay(
    folder: Path, section: ReplaySection, rows: Sequence[HeldOutRow], count: int
) -> Replay:
    """Returns the first rows of a stretch, and the events that were known until the last of them.

    Args:
        folder: with the files of the events.
        section: what the manifest says.
        rows: of the stretch.
        count: how many rows.

    Raises:
        LaunchError: there are no rows, one has no instant, or the events cannot be read.
    """
    if not rows:
        raise LaunchError(f"{section.file} has no rows to replay")
    timed = []
    for row in rows:
        instant = row.fields.get(section.instant)
        if not isinstance(instant, datetime):
            raise LaunchError(f"{section.file}: a row has no instant {section.instant!r}")
        timed.append((instant, row))
    timed.sort(key=lambda pair: pair[0])
    first, last = timed[0][0], timed[:count][-1][0]
    files = {name: folder / file for name, file in section.events.items()}
    events = read_events(files, first - section.lead, last)
    return Replay([replace(row, instant=instant) for instant, row in timed[:count]], events)
