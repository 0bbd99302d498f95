"""Sends the events of a file, and tells what becomes of them."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from tailrace.cli.event_file import read_events
from tailrace.cli.event_rows import BadRow
from tailrace.cli.gateway_options import GatewayOptions
from tailrace.cli.problem_kinds import ProblemKinds
from tailrace.client import Event, EventProblem, EventReport, PredictionError
from tailrace.runtime.pipeline.event_type import EventType

_TOLD_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class FileRun:
    """What to send, and how.

    Attributes:
        event_type: what the events are.
        file: where they are.
        rejects: file for what was refused, one JSON object a line; None shows each kind once.
        batch_events: most events of one batch.
        retry_s: how long to try again while the service is unavailable, in seconds.
        speed: seconds of `known_at` for each second; None sends as fast as can be.
        as_json: whether to print the result as JSON.
        traceparent: names the span that they are sent in, or empty.
    """

    event_type: EventType
    file: Path
    rejects: Path | None
    batch_events: int
    retry_s: float
    speed: float | None
    as_json: bool
    traceparent: str = ""


async def send_file(options: GatewayOptions, run: FileRun) -> int:
    """Sends the events of a file, in the order in which they became known.

    Returns:
        The exit status: 1 if any event was refused, or is not known to have been taken in.

    Raises:
        LaunchError: the file cannot be read, or there is no such mesh.
    """
    with ExitStack() as stack:
        rejects = stack.enter_context(run.rejects.open("w")) if run.rejects else None
        sending = _FileSending(run, rejects)
        status = 0
        async with options.event_client() as client:
            try:
                await client.send(
                    run.event_type.event,
                    sending.events(),
                    batch_events=run.batch_events,
                    retry_s=run.retry_s,
                    traceparent=run.traceparent,
                    on_answer=sending.note,
                    on_problem=sending.reject,
                )
            except PredictionError as error:
                unknown, error.unanswered = len(error.unanswered), {}
                print(f"tailrace events: {error}", file=sys.stderr)
                print(
                    f"tailrace events: {unknown:,} events that were read have no acknowledgement, "
                    "and what comes after them was not sent. Sent again, each counts once.",
                    file=sys.stderr,
                )
                status = 1
    sending.print_result()
    return 1 if sending.refused else status


class _FileSending:
    def __init__(self, run: FileRun, rejects: IO[str] | None) -> None:
        self._run = run
        self._rejects = rejects
        self._report = EventReport()
        self._bad_rows = 0
        self._kinds = ProblemKinds()
        self._began = self._told_at = time.monotonic()

    @property
    def refused(self) -> int:
        """Events and rows that were not taken in."""
        return self._report.refused + self._bad_rows

    async def events(self) -> AsyncIterator[Event]:
        """Yields the events, at the speed asked for."""
        rows = read_events(self._run.file, self._run.event_type)
        pacer = _Pacer(self._run.speed) if self._run.speed else None
        while True:
            # Reading a block of a file takes a while, in which answers should be heard.
            block = await asyncio.to_thread(_block, rows)
            if not block:
                return
            for row in block:
                if isinstance(row, BadRow):
                    self._bad_rows += 1
                    self._tell({"row": row.row, "message": row.message, "field": row.field})
                    continue
                if pacer is not None:
                    await pacer.wait((row.known_at or row.event_time).timestamp())
                yield row

    def note(self, report: EventReport) -> None:
        """Tells how far the sending has come, now and then."""
        self._report = report
        now = time.monotonic()
        if now - self._told_at >= _TOLD_EVERY_S:
            self._told_at = now
            rate = report.total / (now - self._began)
            print(
                f"{report.total:,} events acknowledged, {rate:,.0f}/s, {report.accepted:,} "
                f"accepted, {report.duplicates:,} duplicates, {self.refused:,} refused",
                file=sys.stderr,
            )

    def reject(self, problem: EventProblem) -> None:
        """Tells of an event that was refused, or by one of its views."""
        document = asdict(problem)
        del document["place"]
        self._tell(document)

    def print_result(self) -> None:
        """Prints what became of all."""
        report, seconds = self._report, time.monotonic() - self._began
        result = {
            "event": self._run.event_type.event,
            "accepted": report.accepted,
            "duplicates": report.duplicates,
            "refused": report.refused,
            "bad_rows": self._bad_rows,
            "sent_again": report.sent_again,
            "seconds": round(seconds, 3),
            "events_per_s": round(report.total / max(seconds, 1e-9), 1),
        }
        self._print_kinds()
        if self._run.as_json:
            print(json.dumps(result))
            return
        print(
            f"{report.total:,} events in {seconds:.1f} s ({result['events_per_s']:,.0f}/s): "
            f"{report.accepted:,} accepted, {report.duplicates:,} duplicates, "
            f"{report.refused:,} refused, {self._bad_rows:,} rows that are no events"
        )

    def _tell(self, document: dict[str, Any]) -> None:
        if self._rejects is not None:
            self._rejects.write(json.dumps(document, ensure_ascii=False) + "\n")
            return
        self._kinds.add(document)

    def _print_kinds(self) -> None:
        lines = list(self._kinds.lines())
        for line in lines:
            print(line, file=sys.stderr)
        if lines:
            print("--rejects FILE keeps all problems", file=sys.stderr)


class _Pacer:
    """Lets events pass at their distance in time, shortened by a factor."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._first: float | None = None

    async def wait(self, known_at_s: float) -> None:
        if self._first is None:
            self._first = known_at_s
        due = self._began + (known_at_s - self._first) / self._speed
        if due > time.monotonic():
            await asyncio.sleep(due - time.monotonic())


def _block(rows: Iterator[Event | BadRow]) -> list[Event | BadRow]:
    block: list[Event | BadRow] = []
    for row in rows:
        block.append(row)
        if len(block) == 1000:
            break
    return block
