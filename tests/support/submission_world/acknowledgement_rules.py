"""Rules about what callers were told when they submitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.support.submission_world.evidence import Evidence
from tests.support.submission_world.history import History, Submission


def lost(history: History) -> list[Submission]:
    """Returns what was acknowledged and is not there."""
    return [one for one in history.acknowledged if one.last_poll and not one.last_poll.found]


def losses(history: History) -> Iterator[str]:
    """What was acknowledged is there, whenever it is asked for."""
    for submission in history.acknowledged:
        if not all(poll.found for poll in submission.polls):
            yield f"{submission.prediction_id} was acknowledged and is not there"


def unsettled(history: History) -> Iterator[str]:
    """What was acknowledged reaches a final state, and its delivery ends."""
    for submission in history.acknowledged:
        poll = submission.last_poll
        if poll is None or (poll.found and not poll.is_settled):
            yield f"{submission.prediction_id} was acknowledged and has not settled: {poll}"


def several_jobs(history: History) -> Iterator[str]:
    """All acknowledgements of one submission name one id, and the first alone says it is new."""
    owners: dict[str, str] = {}
    for submission in history.submissions:
        acknowledged = [one for one in submission.answers if one.kind == "acknowledged"]
        ids = {answer.prediction_id for answer in acknowledged}
        if len(ids) > 1:
            yield f"{submission.request_id} was acknowledged as {sorted(ids)}"
        if sum(not answer.already for answer in acknowledged) > 1:
            yield f"{submission.request_id} was acknowledged as new more than once"
        if acknowledged and acknowledged[0].already and submission.answers[0] == acknowledged[0]:
            yield f"{submission.request_id} was known before it was sent"
        for prediction_id in ids:
            owner = owners.setdefault(prediction_id, submission.request_id)
            if owner != submission.request_id:
                yield f"{prediction_id} is {owner} and {submission.request_id}"


def refused_and_there(history: History, evidence: Evidence) -> Iterator[str]:
    """What was refused, each time that it was sent, is nowhere."""
    refused = {one.request_id for one in history.submissions if one.is_refused}
    there = set(evidence.listed.values()) | {one.request_id for one in evidence.published}
    for request_id in refused & there:
        yield f"{request_id} was refused and is there"


def wrong_refusals(history: History) -> Iterator[str]:
    """What has to be refused is never acknowledged, and nothing else is refused.

    Of others, only what is sent for the first time after its own limit may be.
    """
    for submission in history.submissions:
        was_acknowledged = False
        for answer in submission.answers:
            if answer.kind == "acknowledged":
                was_acknowledged = True
                if submission.must_be_refused:
                    yield f"{submission.request_id} had to be refused: {submission.must_be_refused}"
            elif answer.kind == "refused" and answer.reason != submission.must_be_refused:
                is_late = submission.may_expire and answer.reason == "INVALID_FIELD"
                if was_acknowledged or not is_late:
                    yield f"{submission.request_id} was refused with {answer.reason}"


def loss_ages(history: History, ends: Sequence[float], window_s: float) -> list[tuple[str, float]]:
    """Returns what was lost, and how long before the next end of the queue's machine.

    Args:
        history: of the run.
        ends: when that was, by `time.monotonic`.
        window_s: what may be lost, in seconds.
    """
    ages = []
    for submission in lost(history):
        assert submission.acknowledged is not None
        at, sent_at = submission.acknowledged.at, submission.acknowledged.sent_at
        # The gateway's answer may also have been on its way when the queue was gone.
        on_its_way = any(sent_at <= end <= at for end in ends)
        age_s = min((end - at for end in ends if end > at), default=float("inf"))
        is_late = age_s > window_s and on_its_way
        ages.append((submission.prediction_id, 0.0 if is_late else age_s))
    return ages


def losses_outside(history: History, ends: Sequence[float], window_s: float) -> Iterator[str]:
    """What was acknowledged and is not there was acknowledged shortly before a machine's end.

    Args:
        history: of the run.
        ends: when the queue's machine ended, by `time.monotonic`.
        window_s: what may be lost, in seconds.
    """
    for prediction_id, age_s in loss_ages(history, ends, window_s):
        if age_s > window_s:
            yield f"{prediction_id} was acknowledged {age_s:.3f} s before, and is lost"
