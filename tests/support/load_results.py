"""Results of load tests made by hand, for what is made of results: reports, verdicts, comparisons.

Numbers are random, but the same each time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace.loadtest.hops.hop_tally import HopTally
from tailrace.loadtest.hops.prediction_reader import PredictionReader
from tailrace.loadtest.measure.details import Details, DetailsPart, DetailsWriter, Listed
from tailrace.loadtest.measure.run_result import EndReason, GeneratorLimit, RunResult
from tailrace.loadtest.measure.tally import Tally
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.v1 import ledger_pb2
from tailrace.v1 import prediction_service_pb2 as pb

DATE = datetime(2026, 11, 22, 12, 30, 15, 250_000, tzinfo=UTC)
OPTIONS = LoadOptions(
    host="127.0.0.1:50050",
    call="tailrace.v1.PredictionService/Predict",
    insecure=True,
    async_=True,
    rps=100.0,
    total=1000,
    name="flights",
    data='{"pipeline": "flight-delay"}',
)
UNAVAILABLE = "rpc error: code = Unavailable desc = connection refused"


def load_result(
    latencies_ms: Any = None,
    *,
    calls: int = 1000,
    rps: float = 100.0,
    errors: Mapping[str, int] | None = None,
    waits_ms: Any = 0.0,
    answers: HopTally | None = None,
    limit: GeneratorLimit | None = None,
    **options: Any,
) -> RunResult:
    """Returns a run of an open loop in which calls were due at equal distances.

    Args:
        latencies_ms: of calls that were answered, from when they were sent, shape (n,); None for
            `calls` random ones around 8 ms, with some above 50 ms.
        calls: how many, where latencies are not given.
        rps: at which rate they were due.
        errors: failed calls by their error's text, `rpc error: code = Unavailable desc = …`.
        waits_ms: how long after it was due each call was sent, shape () or (n,).
        answers: what was found in answers.
        limit: whether the generator kept up.
        **options: of `LoadOptions`, where they are not those of `OPTIONS`.
    """
    if latencies_ms is None:
        latencies_ms = random_latencies_ms(calls)
    sent = np.asarray(latencies_ms, float)
    count, errors = sent.size, dict(errors or {})
    failed = sum(errors.values())
    uncorrected = (sent * 1e6).astype(np.int64)
    corrected = uncorrected + (np.broadcast_to(np.asarray(waits_ms), count) * 1e6).astype(np.int64)
    due = (np.arange(count + failed) / rps * 1e9).astype(np.int64)
    is_failed = np.zeros(count + failed, np.int64)
    is_failed[np.linspace(0, count + failed - 1, failed).astype(int)] = 1
    whole = np.full(count + failed, -1, np.int64)
    whole[is_failed == 0] = corrected
    tally = Tally(
        statuses=_statuses(count, errors),
        errors=errors,
        started=count + failed,
        ended=count + failed,
        responses=count,
        bytes_sent=310 * (count + failed),
        bytes_received=420 * count,
        max_in_flight=7 if count else 0,
        cpu_ns=9_000 * (count + failed),
        answers=answers,
    )
    tally.corrected.record(corrected)
    tally.uncorrected.record(uncorrected)
    tally.lag.record(corrected - uncorrected)
    ended = due + np.maximum(whole, 0)
    tally.slices.add(ended, whole, is_failed)
    tally.slices.add_started(due)
    tally.last_ns = int(ended.max()) if ended.size else 0
    tally.wall_ns = tally.last_ns
    given = replace(OPTIONS, rps=rps, total=count + failed)
    return RunResult(
        options=replace(given, **options),
        date=DATE,
        end_reason=EndReason.NORMAL,
        duration_ns=tally.last_ns,
        tally=tally,
        processes=[tally],
        limit=limit or GeneratorLimit(False),
    )


def random_latencies_ms(calls: int, seed: int = 1) -> npt.NDArray[np.float64]:
    """Returns latencies as servers have them: around 8 ms, with one in fifty above 50 ms."""
    random = np.random.default_rng(seed)
    usual = 8 * random.lognormal(0.0, 0.35, calls)
    slow = np.where(random.random(calls) < 0.02, 40 + 30 * random.random(calls), 0)
    latencies: npt.NDArray[np.float64] = usual + slow
    return latencies


def written_details(
    due_ns: npt.NDArray[np.int64],
    latencies_ns: npt.NDArray[np.int64],
    kinds: npt.NDArray[np.int64],
    told: Sequence[tuple[str, str]],
) -> Details:
    """Returns records of calls that were sent when they were due.

    Args:
        due_ns: when they were, in nanoseconds since 1970, shape (n,).
        latencies_ns: how long they took, shape (n,).
        kinds: numbers of their outcomes, shape (n,).
        told: what these mean: name of the status and text of the error.
    """
    part = DetailsPart(tempfile.TemporaryFile(buffering=0))
    writer = DetailsWriter(part.file)
    writer.write(due_ns, latencies_ns, latencies_ns, kinds)
    part.told(Listed(writer.count, list(told)))
    return Details([part])


def hop_tally(answers: int = 1000, seed: int = 1) -> HopTally:
    """Returns what answers of Tailrace's said: most live and in time, some not."""
    reader = PredictionReader("Predict", 20.0)
    random = np.random.default_rng(seed)
    for number in range(answers):
        factor = float(random.lognormal(0.0, 0.4))
        quality = "STALE_FEATURES" if number % 20 == 7 else "LIVE"
        answer = prediction(factor, quality=quality, deadline_ms=25.0)
        reader.read(answer.SerializeToString(), answer.ledger.total_ns + int(factor * 900_000))
    return reader.tally


def prediction(
    factor: float = 1.0, *, quality: str = "LIVE", deadline_ms: float = 5000.0
) -> pb.PredictResponse:
    """Returns an answer of the gateway's, whose ledger adds up.

    Args:
        factor: how many times 7.7 ms it took; the features more than others.
        quality: its name.
        deadline_ms: granted by the gateway.
    """
    response = pb.PredictResponse(request_id="r", pipeline="flight-delay", pipeline_version="2-c3")
    response.prediction["probability"].double_value = 0.25
    response.quality = pb.Quality.Value(f"QUALITY_{quality}")
    if quality != "LIVE":
        reason = response.quality_reasons.add(quality=response.quality, detail="plane: stale")
        reason.hop = ledger_pb2.HOP_FEATURES
    ledger = response.ledger
    ledger.convoy_wait_ns = _ns(0.1 * factor)
    ledger.convoy_rows = 2
    ledger.deadline_ns = _ns(deadline_ms)
    start = 0
    for hop, queue, network, work in (
        (ledger_pb2.HOP_INGEST, 0.07, 1.12, 0.42),
        (ledger_pb2.HOP_FEATURES, 0.18, 1.13, 2.06 * factor),
        (ledger_pb2.HOP_INFERENCE, 0.12, 0.87 * factor, 1.64),
        (ledger_pb2.HOP_POSTPROCESS, 0.1, 0.75, 0.33),
    ):
        parts = [_ns(queue * factor), _ns(network * factor), _ns(work * factor)]
        entry = ledger.entries.add(hop=hop, start_ns=start, duration_ns=sum(parts), attempts=1)
        entry.queue_ns, entry.network_ns, entry.work_ns = parts
        entry.placement = ledger_pb2.PLACEMENT_REMOTE
        entry.critical = hop != ledger_pb2.HOP_INGEST
        start += entry.duration_ns if entry.critical else 0
    ledger.unattributed_ns = _ns(0.44 * factor)
    ledger.total_ns = ledger.convoy_wait_ns + start + ledger.unattributed_ns
    return response


def _statuses(answered: int, errors: Mapping[str, int]) -> dict[str, int]:
    """Returns calls by status, as ghz names it: `Unavailable` of an error's text."""
    statuses = {"OK": answered} if answered else {}
    for text, count in errors.items():
        status = text.removeprefix("rpc error: code = ").partition(" ")[0]
        statuses[status] = statuses.get(status, 0) + count
    return statuses


def _ns(milliseconds: float) -> int:
    return int(milliseconds * 1e6)
