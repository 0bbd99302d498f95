"""What becomes of a submission that has run: its result, or another try."""

from __future__ import annotations

import enum
import random

from tailrace.dispatcher.suspects import Suspects
from tailrace.gateway.convoy import Outcome
from tailrace.runtime.error_mapping import status_of
from tailrace.runtime.errors import Code, Reason, TailraceError
from tailrace.submissions.records import Claim, RunPostponed, RunResult, State

FIRST_DELAY_MS = 200
LONGEST_DELAY_MS = 30_000
JITTER = 0.5


class Trouble(enum.Enum):
    """What an error says about another try."""

    LASTING = enum.auto()
    """It would end in the same way."""
    PASSING = enum.auto()
    """It may go well, and whatever failed was not the submission's fault."""
    DOUBTFUL = enum.auto()
    """It may go well; or it is the submission's own fault."""


_PASSING = frozenset({Code.UNAVAILABLE, Code.CANCELLED, Code.RESOURCE_EXHAUSTED})


def trouble_of(error: TailraceError) -> Trouble:
    """Returns what an error says about another try."""
    if error.code is Code.DEADLINE_EXCEEDED:
        return Trouble.DOUBTFUL
    if error.code is Code.UNAVAILABLE or error.reason is not Reason.UNSPECIFIED:
        return Trouble.PASSING if error.code in _PASSING else Trouble.LASTING
    # No reason of ours: a transport speaks, of a process that died, or a message too large.
    return Trouble.PASSING if error.code is Code.CANCELLED else Trouble.DOUBTFUL


def delay_ms(run_attempts: int, error: TailraceError) -> int:
    """Returns the wait until the next try: exponential, with jitter, and 30 s at most.

    Args:
        run_attempts: tries so far.
        error: what the last one ended in; it may ask for a longer wait.
    """
    exponential = FIRST_DELAY_MS * 2 ** min(run_attempts - 1, 16)
    # Half of it at random: those that failed together are not to come back together.
    wait = min(exponential, LONGEST_DELAY_MS) * random.uniform(1 - JITTER, 1)
    return min(LONGEST_DELAY_MS, max(int(wait), error.retry_after_ms or 0))


class Verdicts:
    """Judges outcomes."""

    def __init__(self, max_attempts: int, suspects: Suspects) -> None:
        """Keeps the parts.

        Args:
            max_attempts: how often a submission may fail in a way that counts.
            suspects: learns who was there when a hop died.
        """
        self._max_attempts = max_attempts
        self._suspects = suspects

    def judge(
        self, claim: Claim, outcome: Outcome, *, connected: bool, alone: bool
    ) -> RunResult | RunPostponed:
        """Returns what is to be written of a claim.

        Args:
            claim: what ran.
            outcome: what it came to.
            connected: whether all hops were there when it began.
            alone: whether nothing else ran beside it.
        """
        if not isinstance(outcome, TailraceError):
            self._suspects.succeeded()
            return self._ended(claim, State.SUCCEEDED, outcome.SerializeToString())
        trouble = trouble_of(outcome)
        counts = trouble is Trouble.DOUBTFUL
        if outcome.code is Code.UNAVAILABLE and outcome.reason in (
            Reason.HOP_UNAVAILABLE,
            Reason.UNSPECIFIED,
        ):
            counts = self._suspects.hop_died(claim.prediction_id, connected=connected, alone=alone)
        if trouble is Trouble.LASTING or (
            trouble is Trouble.DOUBTFUL and claim.crashes + 1 >= self._max_attempts
        ):
            return self._ended(claim, State.FAILED, status_of(outcome).SerializeToString())
        return RunPostponed(
            prediction_id=claim.prediction_id,
            fence=claim.fence,
            delay_ms=delay_ms(claim.run_attempts, outcome),
            counts=counts,
        )

    def _ended(self, claim: Claim, state: State, outcome: bytes) -> RunResult:
        self._suspects.forget(claim.prediction_id)
        return RunResult(
            prediction_id=claim.prediction_id, fence=claim.fence, state=state, outcome=outcome
        )


def given_back(claim: Claim) -> RunPostponed:
    """Returns a claim as one that anybody may take again at once."""
    return RunPostponed(prediction_id=claim.prediction_id, fence=claim.fence, delay_ms=0)
