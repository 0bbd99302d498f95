"""All that was submitted in one run, and what its caller was told of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal

from tailrace.v1 import prediction_service_pb2 as messages
from tests.support.submission_world.journal import Delivery
from tests.support.submission_world.temper import never_taken

FINAL_STATES = frozenset(
    {
        messages.PREDICTION_STATE_SUCCEEDED,
        messages.PREDICTION_STATE_FAILED,
        messages.PREDICTION_STATE_EXPIRED,
        messages.PREDICTION_STATE_CANCELLED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one attempt at submitting was told.

    Attributes:
        at: when it came, by `time.monotonic`.
        took_s: how long the attempt was under way, in seconds.
        kind: `unknown` where nobody can say whether it was submitted: the call broke or timed out.
        prediction_id: if it was acknowledged.
        already: whether it was said to have been submitted before.
        reason: if it was refused, or why it is unknown.
    """

    at: float
    took_s: float = 0.0
    kind: Literal["acknowledged", "refused", "unknown"]
    prediction_id: str = ""
    already: bool = False
    reason: str = ""

    @property
    def sent_at(self) -> float:
        """When the attempt was sent, by `time.monotonic`."""
        return self.at - self.took_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What one question after a prediction was answered.

    Attributes:
        found: false where there is none of that id.
        state: a `PredictionState`.
        record: serialised, without `delivery`; empty unless the state is final.
        delivery_state: a `DeliveryState`.
        dead_reason: of the delivery, or empty.
    """

    found: bool
    state: int = 0
    record: bytes = b""
    delivery_state: int = 0
    dead_reason: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to happen any more."""
        pending = messages.DELIVERY_STATE_PENDING
        return self.found and self.state in FINAL_STATES and self.delivery_state != pending


@dataclass(slots=True, kw_only=True, eq=False)
class Submission:
    """One submission.

    Attributes:
        message: what is sent, the same in every attempt.
        score: what is to come of it.
        may_expire: whether it has a `not_after`.
        must_be_refused: the reason that it has to be refused with, or empty.
        place: its place among those with its ordering key.
        answers: what each attempt was told.
        polls: what was found when asked, the last of equal ones only.
        cancelled: whether a cancellation was confirmed, or None if there was none.
    """

    message: messages.Submission
    score: float
    may_expire: bool = False
    must_be_refused: str = ""
    place: int = 0
    answers: list[Answer] = field(default_factory=list)
    polls: list[Poll] = field(default_factory=list)
    cancelled: bool | None = None

    @property
    def request_id(self) -> str:
        """Tells it from all others, also where it has no id."""
        return self.message.request.request_id

    @property
    def is_pushed(self) -> bool:
        """Whether it names a callback."""
        return bool(self.message.callback)

    @property
    def prediction_id(self) -> str:
        """Its id, as first acknowledged; empty before."""
        return self.acknowledged.prediction_id if self.acknowledged else ""

    @property
    def acknowledged(self) -> Answer | None:
        """The first acknowledgement."""
        return next((answer for answer in self.answers if answer.kind == "acknowledged"), None)

    @property
    def is_unknown(self) -> bool:
        """Whether nobody can say if it was submitted: never acknowledged, and not only refused."""
        return self.acknowledged is None and any(
            answer.kind == "unknown" for answer in self.answers
        )

    @property
    def is_refused(self) -> bool:
        """Whether every attempt was refused."""
        return bool(self.answers) and all(answer.kind == "refused" for answer in self.answers)

    @property
    def last_poll(self) -> Poll | None:
        """What was found last."""
        return self.polls[-1] if self.polls else None


class History:
    """One run, as its caller sees it.

    Attributes:
        submissions: all, in the order in which they were first sent.
        by_id: those that were acknowledged.
        deliveries: what the receiver was sent, in order.
        open_calls: calls that submit and are not answered yet.
        acknowledgements: how many there were.
        newest_sent_at: when the newest that was acknowledged as new was sent, by `time.monotonic`.
    """

    def __init__(self, never_taken_share: float) -> None:
        self.submissions: list[Submission] = []
        self.by_id: dict[str, Submission] = {}
        self.deliveries: list[Delivery] = []
        self.open_calls = 0
        self.acknowledgements = 0
        self.newest_sent_at = float("-inf")
        self._undelivered: set[str] = set()
        self._confirmed: set[str] = set()
        self._never_taken_share = never_taken_share
        self._lost_until = float("-inf")
        self._changed = asyncio.Condition()

    @property
    def acknowledged(self) -> list[Submission]:
        """The submissions that were."""
        return [one for one in self.submissions if one.acknowledged]

    @property
    def undelivered(self) -> int:
        """How many were acknowledged and not taken by the receiver yet, but will be."""
        return len(self._undelivered)

    @property
    def progress(self) -> int:
        """Grows with every acknowledgement, and every prediction that is taken."""
        return self.acknowledgements + len(self._confirmed)

    async def answered(self, submission: Submission, answer: Answer) -> None:
        """Notes what an attempt was told."""
        submission.answers.append(answer)
        if answer.kind == "acknowledged":
            self.acknowledgements += 1
            self.by_id.setdefault(answer.prediction_id, submission)
            if not answer.already:
                self.newest_sent_at = max(self.newest_sent_at, answer.sent_at)
            taken = not never_taken(answer.prediction_id, self._never_taken_share)
            taken = taken and answer.sent_at > self._lost_until
            if submission.is_pushed and taken and answer.prediction_id not in self._confirmed:
                self._undelivered.add(answer.prediction_id)
        await self._tell()

    async def delivered(self, deliveries: Collection[Delivery]) -> None:
        """Notes what has arrived."""
        self.deliveries += deliveries
        confirmed = {one.prediction_id for one in deliveries if one.confirmed}
        self._confirmed |= confirmed
        self._undelivered -= confirmed
        await self._tell()

    async def polled(self, prediction_id: str, poll: Poll) -> None:
        """Notes what was found."""
        submission = self.by_id[prediction_id]
        # One that was acknowledged under several ids is judged by the first.
        if prediction_id == submission.prediction_id and submission.last_poll != poll:
            submission.polls.append(poll)
        if not poll.found or poll.delivery_state == messages.DELIVERY_STATE_DEAD:
            self._undelivered.discard(prediction_id)
        await self._tell()

    def may_be_lost(self, since: float) -> None:
        """Expects no delivery of what was acknowledged since then, by `time.monotonic`.

        Nor of what was sent before now: its acknowledgement may be on its way.
        """
        self._lost_until = time.monotonic()
        for prediction_id in list(self._undelivered):
            acknowledged = self.by_id[prediction_id].acknowledged
            assert acknowledged is not None
            if acknowledged.at >= since:
                self._undelivered.discard(prediction_id)

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Returns once a condition holds, without having given way since it was looked at.

        Raises:
            AssertionError: it did not hold in time.
        """
        give_up_at = time.monotonic() + timeout_s
        async with self._changed:
            while not condition():
                left_s = give_up_at - time.monotonic()
                assert left_s > 0, f"{what}: not within {timeout_s:g} s"
                try:
                    async with asyncio.timeout(left_s):
                        await self._changed.wait()
                except TimeoutError:
                    # Looked at once more.
                    continue

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
