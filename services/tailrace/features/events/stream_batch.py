"""Entries of one partition on their way into the store."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.features.events.applier import Lane
from tailrace.features.events.intake import EventIntake, TakenBatch
from tailrace.features.events.problem import EventProblem, EventRefused
from tailrace.features.events.stream_entry import event_of, type_name
from tailrace.runtime.errors import NotFound
from tailrace.v1.event_service_pb2 import Event


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a stream.

    Attributes:
        id: of the entry, such as `1526919030474-55`.
        fields: what it holds, by name.
    """

    id: str
    fields: Mapping[bytes, bytes]


class EntryBatch:
    """Entries that were read, of which the good ones are being applied."""

    def __init__(self) -> None:
        """Starts empty; `read_entries` fills it."""
        self.taken: list[tuple[list[Entry], TakenBatch]] = []
        self.malformed: list[tuple[Entry, EventProblem]] = []

    async def problems(self) -> list[tuple[Entry, str]]:
        """Returns the entries that were not taken in by every view, once all are applied.

        Each comes with its problems, as JSON: `[{"view", "reason", "message", "field"}, …]`.

        Raises:
            TailraceError: some were perhaps not applied.
        """
        found = list(self.malformed)
        failure: Exception | None = None
        for entries, batch in self.taken:
            try:
                outcome = await batch.outcome()
            except Exception as error:
                failure = failure or error
                continue
            found += [(entries[problem.index], problem) for problem in outcome.problems]
        if failure is not None:
            raise failure
        by_entry: dict[str, tuple[Entry, list[EventProblem]]] = {}
        for entry, problem in found:
            by_entry.setdefault(entry.id, (entry, []))[1].append(problem)
        return [(entry, _json(problems)) for entry, problems in by_entry.values()]


def read_entries(intake: EventIntake, entries: Sequence[Entry], lane: Lane) -> EntryBatch:
    """Returns the entries, whose events stand in line to be applied.

    Raises:
        TailraceError: something before them in the lane was not applied.
    """
    batch = EntryBatch()
    good: list[tuple[str, Entry, Event]] = []
    for entry in entries:
        try:
            name = type_name(entry.fields)
            good.append((name, entry, event_of(entry.id, entry.fields, intake.event_type(name))))
        except EventRefused as refused:
            problem = EventProblem(0, "", refused.reason, refused.message, refused.field)
            batch.malformed.append((entry, problem))
        except NotFound as error:
            problem = EventProblem(0, "", error.reason, error.message, error.field)
            batch.malformed.append((entry, problem))
    # Of a view there are events of one type only, so that types need no order among each other.
    good.sort(key=lambda each: each[0])
    for name, group in itertools.groupby(good, key=lambda each: each[0]):
        chosen = list(group)
        taken = intake.begin(name, [event for _, _, event in chosen], lane)
        batch.taken.append(([entry for _, entry, _ in chosen], taken))
    return batch


def _json(problems: Sequence[EventProblem]) -> str:
    return json.dumps(
        [
            {
                "view": problem.view,
                "reason": problem.reason.name,
                "message": problem.message,
                "field": problem.field,
            }
            for problem in problems
        ]
    )
