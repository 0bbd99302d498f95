"""The checker of submissions finds nothing wrong with a sound run, and each thing that is wrong."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tailrace.v1 import prediction_service_pb2 as messages
from tests.support.submission_world.checker import broken_rules, broken_rules_under_loss
from tests.support.submission_world.evidence import Evidence, Published
from tests.support.submission_world.history import Answer, History, Poll, Submission
from tests.support.submission_world.journal import Delivery
from tests.support.submission_world.receiver import GRPC
from tests.support.submission_world.submission_plan import Mixture, SubmissionPlan

RUNNING = messages.PREDICTION_STATE_RUNNING
SUCCEEDED = messages.PREDICTION_STATE_SUCCEEDED
EXPIRED = messages.PREDICTION_STATE_EXPIRED
PENDING = messages.DELIVERY_STATE_PENDING
DELIVERED = messages.DELIVERY_STATE_DELIVERED
DEAD = messages.DELIVERY_STATE_DEAD
NOT_THERE = Poll(found=False)


@dataclass
class Run:
    """A run to be spoilt: two ordered submissions that were delivered, and one that was refused."""

    submissions: list[Submission] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    dead_letters: dict[str, str] = field(default_factory=dict)
    listed: dict[str, str] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)

    def broken(self) -> set[str]:
        """Returns the names of the rules that are broken."""
        return {one.rule for one in broken_rules(self.history(), self.evidence())}

    def history(self) -> History:
        """Returns what its caller saw."""
        history = History(0.0)
        history.submissions = self.submissions
        history.deliveries = self.deliveries
        for submission in history.acknowledged:
            history.by_id[submission.prediction_id] = submission
        return history

    def evidence(self) -> Evidence:
        """Returns what was there in the end."""
        return Evidence(
            dead_letters=self.dead_letters, listed=self.listed, published=self.published
        )


def record(number: int, score: float = 1.0) -> bytes:
    """Returns a record as it is pushed."""
    message = messages.PredictionRecord(
        prediction_id=f"id-{number}", request_id=f"request-{number}", state=SUCCEEDED
    )
    message.response.prediction["score"].double_value = score
    return message.SerializeToString(deterministic=True)


def delivery(number: int, body: bytes = b"") -> Delivery:
    """Returns a delivery that was taken."""
    body = body or record(number)
    return Delivery(
        prediction_id=f"id-{number}",
        via=GRPC,
        digest=hashlib.sha256(body).hexdigest(),
        body=body,
        attempt=1,
        verified=True,
        confirmed=True,
        at_s=0.0,
    )


def acknowledged(number: int, *, already: bool = False) -> Answer:
    """Returns an acknowledgement."""
    return Answer(at=10.0, kind="acknowledged", prediction_id=f"id-{number}", already=already)


def sound_run() -> Run:
    """Returns a run with nothing wrong."""
    run = Run()
    for number in (1, 2):
        message = messages.Submission(callback="lane", ordering_key="lane")
        message.request.request_id = f"request-{number}"
        poll = Poll(found=True, state=SUCCEEDED, record=record(number), delivery_state=DELIVERED)
        run.submissions.append(
            Submission(
                message=message,
                score=1.0,
                place=number,
                answers=[Answer(at=9.0, kind="unknown"), acknowledged(number)],
                polls=[Poll(found=True, state=RUNNING), poll],
            )
        )
        run.deliveries += [delivery(number), replace(delivery(number), body=b"")]
        run.listed[f"id-{number}"] = f"request-{number}"
        run.published.append(
            Published(
                prediction_id=f"id-{number}",
                request_id=f"request-{number}",
                state=SUCCEEDED,
                outcome=b"outcome",
            )
        )
    refused = messages.Submission(callback="nobody")
    refused.request.request_id = "request-3"
    answer = Answer(at=9.0, kind="refused", reason="CALLBACK_NOT_FOUND")
    run.submissions.append(
        Submission(
            message=refused, score=0.0, must_be_refused="CALLBACK_NOT_FOUND", answers=[answer]
        )
    )
    return run


def _is_gone(run: Run) -> None:
    run.submissions[0].polls.append(NOT_THERE)


def _was_gone(run: Run) -> None:
    run.submissions[0].polls.insert(0, NOT_THERE)


def _still_runs(run: Run) -> None:
    run.submissions[0].polls.pop()


def _is_never_delivered(run: Run) -> None:
    polls = run.submissions[0].polls
    polls[-1] = replace(polls[-1], delivery_state=PENDING)


def _nobody_took_it(run: Run) -> None:
    run.deliveries[:2] = [replace(one, confirmed=False) for one in run.deliveries[:2]]


def _is_dead_and_no_dead_letter(run: Run) -> None:
    polls = run.submissions[0].polls
    polls[-1] = replace(polls[-1], delivery_state=DEAD, dead_reason="POISON")


def _has_no_delivery_state(run: Run) -> None:
    polls = run.submissions[0].polls
    polls[-1] = replace(polls[-1], delivery_state=0)


def _names_no_callback(run: Run) -> None:
    run.submissions[0].message.ClearField("callback")
    _has_no_delivery_state(run)


def _came_with_another_body(run: Run) -> None:
    run.deliveries[1] = replace(run.deliveries[1], digest="another")


def _is_polled_otherwise(run: Run) -> None:
    polls = run.submissions[0].polls
    polls[-1] = replace(polls[-1], record=record(1, score=2.0))


def _has_a_bad_signature(run: Run) -> None:
    run.deliveries[1] = replace(run.deliveries[1], verified=False)


def _nobody_submitted_it(run: Run) -> None:
    run.deliveries.append(delivery(4))


def _came_before_its_turn(run: Run) -> None:
    run.deliveries.reverse()


def _came_before_the_other_was_taken(run: Run) -> None:
    early = replace(run.deliveries[0], confirmed=False)
    run.deliveries = [early, run.deliveries[2], run.deliveries[0]]


def _was_published_twice(run: Run) -> None:
    run.published.append(replace(run.published[0], outcome=b"another"))


def _was_never_published(run: Run) -> None:
    run.published.pop()


def _was_acknowledged_as_another(run: Run) -> None:
    run.submissions[0].answers.append(acknowledged(5, already=True))


def _was_new_twice(run: Run) -> None:
    run.submissions[0].answers.append(acknowledged(1))


def _was_known_before(run: Run) -> None:
    run.submissions[0].answers[:] = [acknowledged(1, already=True)]


def _has_the_id_of_the_other(run: Run) -> None:
    run.submissions[0].answers.append(acknowledged(2, already=True))


def _was_refused_and_is_listed(run: Run) -> None:
    run.listed["id-3"] = "request-3"


def _was_refused_and_is_published(run: Run) -> None:
    run.published.append(replace(run.published[0], request_id="request-3"))


def _was_refused_and_is_acknowledged(run: Run) -> None:
    run.submissions[2].answers.append(acknowledged(3))


def _was_acknowledged_and_is_refused(run: Run) -> None:
    run.submissions[0].may_expire = True
    run.submissions[0].answers.append(Answer(at=11.0, kind="refused", reason="INVALID_FIELD"))


def _was_refused_for_nothing(run: Run) -> None:
    run.submissions[0].answers.insert(0, Answer(at=8.0, kind="refused", reason="BACKLOG_FULL"))


def _was_final_before(run: Run) -> None:
    polls = run.submissions[0].polls
    polls.append(replace(polls[-1], state=EXPIRED))


def _has_a_wrong_score(run: Run) -> None:
    run.submissions[0].score = 2.0


def _was_cancelled_in_vain(run: Run) -> None:
    run.submissions[0].cancelled = True


FAULTS: dict[Callable[[Run], None], str] = {
    _is_gone: "lost",
    _was_gone: "lost",
    _still_runs: "settled",
    _is_never_delivered: "settled",
    _nobody_took_it: "delivered or dead",
    _is_dead_and_no_dead_letter: "delivered or dead",
    _has_no_delivery_state: "delivered or dead",
    _names_no_callback: "delivered or dead",
    _came_with_another_body: "one body",
    _is_polled_otherwise: "pushed as polled",
    _has_a_bad_signature: "signed",
    _nobody_submitted_it: "known",
    _came_before_its_turn: "order",
    _came_before_the_other_was_taken: "order",
    _was_published_twice: "published",
    _was_never_published: "published",
    _was_acknowledged_as_another: "one job",
    _was_new_twice: "one job",
    _was_known_before: "one job",
    _has_the_id_of_the_other: "one job",
    _was_refused_and_is_listed: "refused",
    _was_refused_and_is_published: "refused",
    _was_refused_and_is_acknowledged: "refusals",
    _was_acknowledged_and_is_refused: "refusals",
    _was_refused_for_nothing: "refusals",
    _was_final_before: "final",
    _has_a_wrong_score: "result",
    _was_cancelled_in_vain: "result",
}


def test_a_sound_run_breaks_no_rule() -> None:
    assert sound_run().broken() == set()


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__.strip("_"))
def test_what_is_wrong_breaks_its_rule(spoil: Callable[[Run], None]) -> None:
    run = sound_run()
    spoil(run)
    assert FAULTS[spoil] in run.broken()


@pytest.mark.parametrize(
    ("end", "broken"),
    [(10.5, set()), (11.9, set()), (12.1, {"lost"}), (8.5, set()), (7.9, {"lost"})],
)
def test_only_what_was_acknowledged_shortly_before_the_end_or_sent_before_it_may_be_lost(
    end: float, broken: set[str]
) -> None:
    run = sound_run()
    run.submissions[0].answers[:] = [replace(acknowledged(1), took_s=2.0)]
    run.submissions[0].polls[:] = [NOT_THERE]
    found = broken_rules_under_loss(run.history(), run.evidence(), [end], 2.0)
    assert {one.rule for one in found} == broken


def test_the_taker_of_a_forgotten_key_is_pushed_if_the_one_before_was() -> None:
    plan = SubmissionPlan(random.Random(1), 0, Mixture())
    unpushed = messages.Submission(idempotency_key="key")
    pushed = messages.Submission(idempotency_key="key", callback="hook")
    takers = [plan.conflicting(Submission(message=one, score=1.0)) for one in (unpushed, pushed)]
    polls = [Poll(found=True, state=SUCCEEDED, delivery_state=state) for state in (0, DELIVERED)]
    run = Run(submissions=takers, deliveries=[delivery(1)])
    for number, (taker, poll) in enumerate(zip(takers, polls, strict=True)):
        taker.answers.append(acknowledged(number))
        taker.polls.append(poll)
    assert not broken_rules_under_loss(run.history(), run.evidence(), [11.0], 2.0)
