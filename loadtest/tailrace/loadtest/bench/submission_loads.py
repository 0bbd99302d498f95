"""What is submitted in `make bench-submissions`, and the figures of one slice of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tailrace.loadtest.bench.delivery_feed import read_digests
from tailrace.loadtest.bench.flights import Flight
from tailrace.loadtest.bench.generator.messages import Messages
from tailrace.loadtest.bench.generator.orders import Endpoint, Order, Outcome
from tailrace.loadtest.bench.process_usage import MACHINE
from tailrace.loadtest.bench.submission_receiver import Taken
from tailrace.v1 import prediction_service_pb2

MANY_ROWS = 256
"""Submissions of one message, in the form that has many."""

_SERVICE = "/tailrace.v1.PredictionService"
# Beside these, the mesh has what keeps the other queue.
_SHARED = ("ingest", "features", "inference", "postprocess", "redis", "triton", "receiver")
_OWN = ("gateway", "dispatcher", "courier", "queue-redis")


@dataclass(frozen=True, slots=True)
class SubmissionLoad:
    """One way to submit.

    Attributes:
        name: as in the names of figures.
        durability: which of the queues.
        callback: who gets the results.
        rows: submissions of one message.
        in_flight: messages in flight; 0 in an open loop.
        outstanding: most submissions without a delivered result; 0 means any number.
        ramp_s: how long it runs before it is measured.
        seconds: how long it is measured.
        rate: messages per second, in an open loop.
    """

    name: str
    durability: str
    callback: str
    rows: int
    in_flight: int
    outstanding: int = 0
    ramp_s: float = 0.5
    seconds: float = 2.0
    rate: float = field(default=0.0, compare=False)

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of those that work for it, beside the generator."""
        prefix = "" if self.durability == "everysec" else f"{self.durability} "
        return (*(f"{prefix}{name}" for name in _OWN), *_SHARED)

    def order(self, folder: Path, target: str, feed: Path) -> Order:
        """Returns what the generator is told.

        Args:
            folder: with the messages.
            target: of the gateway.
            feed: on which the receiver tells how many results it has taken.
        """
        method = "SubmitPrediction" if self.rows == 1 else "SubmitPredictions"
        endpoint = Endpoint(
            target=target,
            method=f"{_SERVICE}/{method}",
            messages_file=str(messages_file(folder, self.callback, self.rows)),
            answers="submitted",
            rows=self.rows,
        )
        return Order(
            work="open" if self.rate else "closed",
            endpoint=endpoint,
            in_flight=self.in_flight,
            rate=self.rate,
            connections=8,
            ramp_s=self.ramp_s,
            seconds=self.seconds,
            feed=str(feed),
            outstanding=self.outstanding,
        )


@dataclass(frozen=True, slots=True)
class SubmissionSlice:
    """One load's part of one repeat.

    Attributes:
        acknowledged: submissions per second.
        delivered: results that the receiver took, per second.
        p50_ms: median of how long a message waited for its acknowledgement.
        p99_ms: 99th percentile.
        delivered_p50_ms: median time from the submission until its result was taken.
        delivered_p99_ms: 99th percentile.
        submitted: submissions acknowledged, from the first to the last.
        failed: submissions refused or not answered, by status.
        wrong: results with another score than the synchronous answer's.
        degraded: the same, where the result calls itself degraded.
        cpu_us: CPU time per submission of each process that works for it, from the first message
            to the last result, in microseconds.
        outside_cores: cores that processes outside the benchmark took.
    """

    acknowledged: float
    delivered: float
    p50_ms: float
    p99_ms: float
    delivered_p50_ms: float
    delivered_p99_ms: float
    submitted: int
    failed: Mapping[str, int]
    wrong: int
    degraded: int
    cpu_us: Mapping[str, float]
    outside_cores: float


def messages_file(folder: Path, callback: str, rows: int) -> Path:
    """Returns where the messages are."""
    return folder / f"submit-{callback}-{rows}.json"


def write_messages(folder: Path, flights: Sequence[Flight], callback: str, rows: int) -> None:
    """Writes submissions of all flights that fill messages; request ids are their places."""
    submissions = []
    for place, flight in enumerate(flights):
        submission = prediction_service_pb2.Submission(request=flight.request, callback=callback)
        submission.request.request_id = str(place)
        submissions.append(submission)
    firsts = range(0, len(submissions) - rows + 1, rows)
    if rows == 1:
        data = [
            prediction_service_pb2.SubmitPredictionRequest(submission=one).SerializeToString()
            for one in submissions
        ]
    else:
        data = [
            prediction_service_pb2.SubmitPredictionsRequest(
                submissions=submissions[first : first + rows]
            ).SerializeToString()
            for first in firsts
        ]
    Messages(data).write(messages_file(folder, callback, rows))


def slice_of(
    load: SubmissionLoad,
    outcome: Outcome,
    taken: Taken,
    used_cpu_s: Mapping[str, float],
    elapsed_s: float,
) -> SubmissionSlice:
    """Returns the figures of a load.

    Args:
        load: what was asked for.
        outcome: what the generator tells.
        taken: what the receiver tells.
        used_cpu_s: CPU time by process and of the machine.
        elapsed_s: from the first message to the last result.

    Raises:
        RuntimeError: the ids delivered are not those acknowledged, each once; a score is wrong; or
            nothing was acknowledged in the measured time.
    """
    check_ids(outcome, taken)
    if taken.wrong:
        raise RuntimeError(f"{taken.wrong} results differ from the synchronous answers")
    if not outcome.latencies_us:
        raise RuntimeError(f"{load.name}: nothing acknowledged; failed: {outcome.failed}")
    p50, p99 = np.percentile(outcome.latencies_us, [50, 99]) / 1e3
    delivered_p50, delivered_p99 = np.percentile(taken.latencies_us, [50, 99]) / 1e3
    own = (*load.processes, "generator")
    known = sum(used for name, used in used_cpu_s.items() if name != MACHINE)
    return SubmissionSlice(
        acknowledged=outcome.counted / load.seconds,
        delivered=outcome.delivered / load.seconds,
        p50_ms=float(p50),
        p99_ms=float(p99),
        delivered_p50_ms=float(delivered_p50),
        delivered_p99_ms=float(delivered_p99),
        submitted=outcome.answered,
        failed=outcome.failed,
        wrong=taken.wrong,
        degraded=taken.degraded,
        cpu_us={name: used_cpu_s[name] / outcome.answered * 1e6 for name in own},
        outside_cores=max(0.0, used_cpu_s[MACHINE] - known) / elapsed_s,
    )


def check_ids(outcome: Outcome, taken: Taken) -> None:
    """Checks that what was acknowledged is what was delivered, each once. Raises RuntimeError."""
    acknowledged = Counter(read_digests(outcome.digests))
    delivered = Counter(read_digests(taken.digests))
    missing, beyond = acknowledged - delivered, delivered - acknowledged
    if not missing and beyond and outcome.failed:
        # Without an acknowledgement, nothing is known of a submission.
        unknown = sum(rows for status, rows in outcome.failed.items() if status != "OK")
        if beyond.total() <= unknown:
            return
    if missing or beyond:
        raise RuntimeError(
            f"{missing.total()} acknowledged and not delivered, {beyond.total()} delivered and not "
            "acknowledged, or more than once"
        )
