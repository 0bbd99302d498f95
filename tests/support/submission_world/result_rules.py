"""Rules about results: one for each id, the right one, for all who ask."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

from google.protobuf import json_format
from google.rpc import error_details_pb2

from tailrace.v1 import prediction_service_pb2 as messages
from tests.support.requests import error_info
from tests.support.submission_world.evidence import Evidence
from tests.support.submission_world.history import FINAL_STATES, History, Poll
from tests.support.submission_world.receiver import GRPC

_SUCCEEDED = messages.PREDICTION_STATE_SUCCEEDED
_FAILED = messages.PREDICTION_STATE_FAILED
_EXPIRED = messages.PREDICTION_STATE_EXPIRED
_CANCELLED = messages.PREDICTION_STATE_CANCELLED
# The details of outcomes are read by their names.
_DETAILS = error_details_pb2.DESCRIPTOR


def pushed_otherwise(history: History) -> Iterator[str]:
    """What is polled is what was pushed."""
    seen: set[str] = set()
    for delivery in history.deliveries:
        submission = history.by_id.get(delivery.prediction_id)
        poll = submission.last_poll if submission else None
        if not delivery.body or delivery.prediction_id in seen or not (poll and poll.record):
            continue
        seen.add(delivery.prediction_id)
        polled = messages.PredictionRecord.FromString(poll.record)
        if delivery.via == GRPC:
            same = messages.PredictionRecord.FromString(delivery.body) == polled
        else:
            same = json.loads(delivery.body)["data"] == json_format.MessageToDict(polled)
        if not same:
            yield f"{delivery.prediction_id} is polled as one thing and pushed as another"


def published_otherwise(history: History, evidence: Evidence) -> Iterator[str]:
    """Every result is in the output stream, at least once, and always as the same."""
    results: dict[str, set[tuple[int, bytes]]] = defaultdict(set)
    for entry in evidence.published:
        results[entry.prediction_id].add((entry.state, entry.outcome))
    for prediction_id, found in results.items():
        if len(found) > 1:
            yield f"{prediction_id} was published with {len(found)} results"
    for submission in history.acknowledged:
        poll = submission.last_poll
        if poll and poll.is_settled and submission.prediction_id not in results:
            yield f"{submission.prediction_id} is final and was not published"


def changed_when_final(history: History) -> Iterator[str]:
    """What is final stays as it is."""
    for submission in history.acknowledged:
        final: Poll | None = None
        for poll in submission.polls:
            if not poll.found:
                continue
            if final and (poll.state, poll.record) != (final.state, final.record):
                yield f"{submission.prediction_id} changed after it was final"
            if poll.state in FINAL_STATES:
                final = poll


def wrong_results(history: History) -> Iterator[str]:
    """Results are those of the submission, and failures have a cause."""
    for submission in history.acknowledged:
        poll, prediction_id = submission.last_poll, submission.prediction_id
        if not (poll and poll.record):
            continue
        record = messages.PredictionRecord.FromString(poll.record)
        if record.request_id != submission.request_id:
            yield f"{prediction_id} answers {record.request_id}, not {submission.request_id}"
        if submission.cancelled is not None and submission.cancelled != (poll.state == _CANCELLED):
            yield f"{prediction_id} was cancelled: {submission.cancelled}; it is {poll.state}"
        if poll.state == _SUCCEEDED:
            score = record.response.prediction["score"].double_value
            if score != submission.score:
                yield f"{prediction_id} is {score}, and should be {submission.score}"
        elif poll.state == _EXPIRED and not submission.may_expire:
            yield f"{prediction_id} expired without a limit"
        elif poll.state == _CANCELLED and submission.cancelled is None:
            yield f"{prediction_id} was cancelled by nobody"
        elif poll.state == _FAILED and error_info(record.error).reason != "POISON":
            yield f"{prediction_id} failed: {record.error.message}"
