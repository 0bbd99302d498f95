"""What is submitted: a mixture drawn from a seed."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from tailrace.v1 import prediction_service_pb2 as messages
from tests.support.requests import predict_request
from tests.support.submission_world.history import Submission
from tests.support.submission_world.pipeline_files import PIPELINE, score_of

TENANT = "acme"
_LANES_PER_CALLER = 3


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How much there is of what; shares of 1.

    Attributes:
        callbacks: weights of the callbacks by name; `lane` is ordered, and `` is none.
        expiring: submissions with a `not_after` soon.
        refused: submissions that have to be refused.
        keyless: submissions without an idempotency key, which are not sent again.
    """

    callbacks: tuple[tuple[str, float], ...] = (
        ("many", 0.45),
        ("hook", 0.2),
        ("one", 0.1),
        ("lane", 0.15),
        ("", 0.1),
    )
    expiring: float = 0.04
    refused: float = 0.02
    keyless: float = 0.03


class SubmissionPlan:
    """Draws submissions of one caller, each different from all others."""

    def __init__(self, rng: random.Random, caller: int, mixture: Mixture) -> None:
        self._rng = rng
        self._caller = caller
        self._mixture = mixture
        self._count = 0
        self._places = [0] * _LANES_PER_CALLER

    def draw_many(self) -> list[Submission]:
        """Returns some, at most one of each ordering key."""
        count = self._rng.choice((1, 1, 2, 8, 24, 48))
        lanes = list(range(_LANES_PER_CALLER))
        self._rng.shuffle(lanes)
        return [self._draw(lanes) for _ in range(count)]

    def conflicting(self, other: Submission) -> Submission:
        """Returns one with the key of another and with other fields; it has to be refused."""
        message = messages.Submission()
        message.CopyFrom(other.message)
        message.request.request_id = self._request_id()
        message.request.fields["x"].double_value += 1
        return Submission(message=message, score=0.0, must_be_refused="IDEMPOTENCY_CONFLICT")

    def _draw(self, lanes: list[int]) -> Submission:
        mixture, rng = self._mixture, self._rng
        x, y = float(rng.randrange(1000)), float(rng.randrange(1000))
        request_id = self._request_id()
        message = messages.Submission(
            request=predict_request(
                PIPELINE, {"x": x, "y": y}, request_id=request_id, tenant=TENANT
            )
        )
        submission = Submission(message=message, score=score_of(x, y))
        if rng.random() < mixture.refused:
            self._make_refused(submission)
            return submission
        names, weights = zip(*mixture.callbacks, strict=True)
        callback = rng.choices(names, weights)[0]
        if callback == "lane" and not lanes:
            callback = "many"
        if callback:
            message.callback = callback
        if callback == "lane":
            lane = lanes.pop()
            self._places[lane] += 1
            submission.place = self._places[lane]
            message.ordering_key = f"caller-{self._caller}-lane-{lane}"
        elif rng.random() < mixture.expiring:
            submission.may_expire = True
            message.not_after.FromMilliseconds(int((time.time() + rng.uniform(0.3, 3)) * 1000))
        if callback == "lane" or rng.random() >= mixture.keyless:
            message.idempotency_key = f"key-{request_id}"
        return submission

    def _make_refused(self, submission: Submission) -> None:
        message = submission.message
        message.idempotency_key = f"key-{submission.request_id}"
        if self._rng.random() < 0.5:
            message.callback = "nobody"
            submission.must_be_refused = "CALLBACK_NOT_FOUND"
        else:
            message.request.pipeline = "nothing"
            submission.must_be_refused = "PIPELINE_NOT_FOUND"

    def _request_id(self) -> str:
        self._count += 1
        return f"caller-{self._caller}-{self._count}"
