"""What scenarios look for in answers: ids of submissions, and what became of events."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from tailrace.v1 import event_service_pb2, prediction_service_pb2

SUBMISSIONS = f"{__name__}:SubmissionReader"
EVENTS = f"{__name__}:EventReader"


@dataclass(slots=True)
class Acknowledged:
    """What was acknowledged: an `AnswerTally`.

    Attributes:
        ids: of submissions, in the order of their answers; one that comes twice is there twice.
        again: answers that say that it had been submitted before.
        unreadable: messages that were no such answer.
    """

    ids: list[str] = field(default_factory=list)
    again: int = 0
    unreadable: int = 0

    def merge(self, other: Acknowledged) -> None:
        """Adds what another process found."""
        self.ids += other.ids
        self.again += other.again
        self.unreadable += other.unreadable


class SubmissionReader:
    """Keeps the ids that `SubmitPrediction` answers with: some 80 bytes each."""

    def __init__(self) -> None:
        self.tally = Acknowledged()

    def take(self) -> Acknowledged:
        """Returns what was found since the last time, and begins anew: see `ResponseReader`."""
        taken, self.tally = self.tally, Acknowledged()
        return taken

    def read(self, payload: bytes, latency_ns: int) -> None:
        """Reads one answer: see `ResponseReader`."""
        try:
            answer = prediction_service_pb2.SubmitPredictionResponse.FromString(payload)
        except DecodeError:
            self.tally.unreadable += 1
            return
        self.tally.ids.append(answer.submitted.prediction_id)
        self.tally.again += answer.submitted.already_submitted


@dataclass(slots=True)
class TakenIn:
    """What became of events: an `AnswerTally`.

    Attributes:
        accepted: events that changed at least one view.
        duplicates: events that were there already.
        refused: all others.
        problems: why, with how many; only the first few kinds.
        unreadable: messages that were no such answer.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    problems: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0

    def merge(self, other: TakenIn) -> None:
        """Adds what another process found."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.refused += other.refused
        for text, count in other.problems.items():
            self._count(text, count)
        self.unreadable += other.unreadable

    def add(self, answer: event_service_pb2.IngestEventsResponse) -> None:
        """Adds what became of one batch."""
        self.accepted += answer.accepted
        self.duplicates += answer.duplicates
        self.refused += answer.refused
        for problem in answer.problems:
            self._count(f"{problem.view or 'event'}: {problem.message}", 1)

    def _count(self, text: str, count: int) -> None:
        if text in self.problems or len(self.problems) < 10:
            self.problems[text] = self.problems.get(text, 0) + count


class EventReader:
    """Adds up what `IngestEvents` answers."""

    def __init__(self) -> None:
        self.tally = TakenIn()

    def take(self) -> TakenIn:
        """Returns what was found since the last time, and begins anew: see `ResponseReader`."""
        taken, self.tally = self.tally, TakenIn()
        return taken

    def read(self, payload: bytes, latency_ns: int) -> None:
        """Reads one answer: see `ResponseReader`."""
        try:
            answer = event_service_pb2.IngestEventsResponse.FromString(payload)
        except DecodeError:
            self.tally.unreadable += 1
            return
        self.tally.add(answer)
