"""Tries a mesh with rows whose outcome is known: how well it predicts, and how fast."""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence

from tailrace.cli.event_feed import EventFeed
from tailrace.cli.held_out import HeldOutRow
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.progress import Step
from tailrace.cli.trial_result import Outcome, Replayed, Trial
from tailrace.client import AsyncClient, Prediction, PredictionError

# Some calls open connections and fill caches; they are not counted.
_WARM_UP_CALLS = 20

# How many rows are asked for one at a time, for the latency; the rest goes in batches.
LATENCY_ROWS = 500
_BATCH_ROWS = 100

_TIMEOUT_S = 5.0

# A busy machine loses some predictions to their deadline; a mesh that loses more is broken.
_TOLERATED_FAILURES = 0.1


class TrialFailed(LaunchError):
    """A mesh does not answer as it should.

    Attributes:
        asked: how many predictions were asked for.
        failures: how many calls failed, by what they failed with.
    """

    def __init__(self, asked: int, failures: dict[str, int], first: PredictionError) -> None:
        self.asked = asked
        self.failures = failures
        super().__init__(
            f"{sum(failures.values())} of {asked} predictions failed: {tell_failures(failures)}. "
            f"The first: {first}"
        )


def tell_failures(failures: Mapping[str, int]) -> str:
    """Returns the failures in words, such as `3 DEADLINE_EXCEEDED, 1 UNAVAILABLE`."""
    return ", ".join(f"{count} {kind}" for kind, count in failures.items())


async def try_mesh(
    client: AsyncClient,
    pipeline: str,
    rows: Sequence[HeldOutRow],
    score: str,
    step: Step,
    feed: EventFeed | None = None,
) -> Trial:
    """Returns what came of asking for a prediction of every row.

    Args:
        client: of the mesh's gateway.
        pipeline: name of the pipeline.
        rows: what to ask; at least one. With a feed, in order of their instants.
        score: the output that ranks the rows.
        step: where to show how far it has come.
        feed: events; each row is asked once the mesh has those known at its instant, and no other.

    Raises:
        TrialFailed: if more than a tenth of the calls failed.
        EventsRefused: if the mesh does not take in an event.
    """
    began = time.monotonic()
    failures: list[PredictionError] = []
    for row in rows[:_WARM_UP_CALLS]:
        await _ask_one(client, pipeline, row)
    before = await _advance(feed, rows[0])
    measured: list[Outcome] = []
    for row in rows[:LATENCY_ROWS]:
        await _advance(feed, row)
        started = time.perf_counter()
        answer = await _ask_one(client, pipeline, row)
        latency_ms = (time.perf_counter() - started) * 1000
        if isinstance(answer, PredictionError):
            failures.append(answer)
        else:
            measured.append(Outcome(row, answer, latency_ms))
        step.tell(f"{len(measured)} of {len(rows)}")
    outcomes = list(measured)
    for batch in batches(rows[LATENCY_ROWS:]):
        await _advance(feed, batch[0])
        started = time.perf_counter()
        answers = await _ask_batch(client, pipeline, batch)
        latency_ms = (time.perf_counter() - started) * 1000
        for row, answer in zip(batch, answers, strict=True):
            if isinstance(answer, PredictionError):
                failures.append(answer)
            else:
                outcomes.append(Outcome(row, answer, latency_ms))
        step.tell(f"{len(outcomes)} of {len(rows)}")
    counts = dict(collections.Counter(error.code.name for error in failures).most_common())
    if not measured or len(failures) > _TOLERATED_FAILURES * len(rows):
        raise TrialFailed(len(rows), counts, failures[0])
    return Trial(
        outcomes=outcomes,
        measured=measured,
        failures=counts,
        score=score,
        seconds=time.monotonic() - began,
        replayed=_replayed(feed, before, rows) if feed else None,
    )


def batches(rows: Sequence[HeldOutRow]) -> Iterator[Sequence[HeldOutRow]]:
    """Yields the rows in batches, none of which holds rows of different instants."""
    for _, of_instant in itertools.groupby(rows, lambda row: row.instant):
        together = list(of_instant)
        for first in range(0, len(together), _BATCH_ROWS):
            yield together[first : first + _BATCH_ROWS]


async def _advance(feed: EventFeed | None, row: HeldOutRow) -> tuple[int, float]:
    """Returns how many events the mesh has now, and how long it took for them."""
    if feed is None:
        return 0, 0.0
    assert row.instant is not None
    await feed.advance(row.instant)
    return feed.sent, feed.seconds


def _replayed(feed: EventFeed, before: tuple[int, float], rows: Sequence[HeldOutRow]) -> Replayed:
    first, last = rows[0].instant, rows[-1].instant
    assert first is not None and last is not None
    return Replayed(
        events=feed.sent,
        events_before=before[0],
        seconds_before=before[1],
        first=first,
        last=last,
    )


async def _ask_one(
    client: AsyncClient, pipeline: str, row: HeldOutRow
) -> Prediction | PredictionError:
    try:
        return await client.predict(pipeline, row.fields, timeout=_TIMEOUT_S)
    except PredictionError as error:
        return error


async def _ask_batch(
    client: AsyncClient, pipeline: str, rows: Sequence[HeldOutRow]
) -> Sequence[Prediction | PredictionError]:
    try:
        fields = [row.fields for row in rows]
        return await client.predict_batch(pipeline, fields, timeout=_TIMEOUT_S)
    except PredictionError as error:
        return [error] * len(rows)
