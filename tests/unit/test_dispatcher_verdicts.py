"""What becomes of submissions that have run."""

from __future__ import annotations

import asyncio

import pytest
from google.rpc import error_details_pb2, status_pb2

from tailrace.dispatcher.suspects import GROUP_ROWS, MOST_KEPT, Suspects
from tailrace.dispatcher.verdicts import (
    LONGEST_DELAY_MS,
    Trouble,
    Verdicts,
    delay_ms,
    given_back,
    trouble_of,
)
from tailrace.runtime.errors import (
    Cancelled,
    Code,
    DeadlineExceeded,
    FailedPrecondition,
    FeaturesCorrupt,
    Internal,
    InvalidField,
    LimitExceeded,
    ModelOutputInvalid,
    NotFound,
    Overloaded,
    Reason,
    RemoteFailure,
    TailraceError,
    Unavailable,
    UserFunctionFailed,
)
from tailrace.submissions.records import Claim, RunPostponed, RunResult, State
from tailrace.v1 import prediction_service_pb2
from tests.support.virtual_time import run_virtually

MAX_ATTEMPTS = 5
ANSWER = prediction_service_pb2.PredictResponse(request_id="r", pipeline="p")
LASTING = [
    InvalidField("x", field="fields.x0"),
    LimitExceeded("x"),
    NotFound("x"),
    FailedPrecondition("x"),
    FeaturesCorrupt("x"),
    Internal("x"),
    ModelOutputInvalid("x"),
    UserFunctionFailed("x"),
    RemoteFailure(Code.INTERNAL, "x", reason=Reason.USER_FUNCTION_FAILED),
]
PASSING = [
    Unavailable("x"),
    Unavailable("x", reason=Reason.PIPELINE_VERSION_NOT_READY),
    RemoteFailure(Code.UNAVAILABLE, "x", reason=Reason.MODEL_UNAVAILABLE),
    Overloaded("x", reason=Reason.QUEUE_TOO_LONG),
    RemoteFailure(Code.RESOURCE_EXHAUSTED, "x", reason=Reason.MODEL_QUEUE_FULL),
    Cancelled("x"),
    # A process that ends while it answers.
    RemoteFailure(Code.UNAVAILABLE, "x"),
    RemoteFailure(Code.CANCELLED, "x"),
]
DOUBTFUL = [
    DeadlineExceeded("x"),
    DeadlineExceeded("x", reason=Reason.BUDGET_TOO_SMALL),
    RemoteFailure(Code.UNKNOWN, "Stream removed"),
    RemoteFailure(Code.RESOURCE_EXHAUSTED, "Received message larger than max"),
]


def _claim(*, crashes: int = 0, run_attempts: int = 1, name: str = "id") -> Claim:
    return Claim(
        prediction_id=name,
        fence=7,
        run_attempts=run_attempts,
        crashes=crashes,
        tenant="",
        priority=2,
        request=b"",
        created_ms=0,
        not_after_ms=None,
    )


def _verdicts() -> Verdicts:
    return Verdicts(MAX_ATTEMPTS, Suspects())


def test_a_prediction_is_the_result() -> None:
    result = _verdicts().judge(_claim(), ANSWER, connected=True, alone=False)
    assert isinstance(result, RunResult)
    assert (result.prediction_id, result.fence, result.state) == ("id", 7, State.SUCCEEDED)
    assert prediction_service_pb2.PredictResponse.FromString(result.outcome) == ANSWER


@pytest.mark.parametrize("error", LASTING, ids=lambda error: f"{error.code.name}-{error.reason}")
def test_an_error_that_another_try_would_not_change_is_the_result(error: TailraceError) -> None:
    assert trouble_of(error) is Trouble.LASTING
    result = _verdicts().judge(_claim(), error, connected=True, alone=False)
    assert isinstance(result, RunResult)
    assert (result.state, result.dead_reason) == (State.FAILED, None)
    status = status_pb2.Status.FromString(result.outcome)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, info.reason) == (error.code, error.reason.name)


@pytest.mark.parametrize("error", PASSING, ids=lambda error: f"{error.code.name}-{error.reason}")
def test_an_error_that_may_pass_is_postponed_however_often(error: TailraceError) -> None:
    assert trouble_of(error) is Trouble.PASSING
    verdicts = _verdicts()
    for attempt in range(1, 100):
        claim = _claim(run_attempts=attempt, crashes=MAX_ATTEMPTS - 1)
        postponed = verdicts.judge(claim, error, connected=True, alone=True)
        assert isinstance(postponed, RunPostponed)
        assert not postponed.counts
        assert 0 < postponed.delay_ms <= LONGEST_DELAY_MS


@pytest.mark.parametrize("error", DOUBTFUL, ids=lambda error: f"{error.code.name}-{error.reason}")
def test_a_run_that_takes_too_long_counts_and_fails_in_the_end(error: TailraceError) -> None:
    assert trouble_of(error) is Trouble.DOUBTFUL
    verdicts = _verdicts()
    for crashes in range(MAX_ATTEMPTS - 1):
        postponed = verdicts.judge(
            _claim(crashes=crashes, run_attempts=60), error, connected=True, alone=False
        )
        assert isinstance(postponed, RunPostponed) and postponed.counts
    result = verdicts.judge(_claim(crashes=MAX_ATTEMPTS - 1), error, connected=True, alone=True)
    assert isinstance(result, RunResult) and result.state is State.FAILED


def test_waits_grow_differ_and_are_bounded() -> None:
    error = Unavailable("x")
    first = {delay_ms(1, error) for _ in range(50)}
    assert len(first) > 10 and max(first) <= 200 and min(first) >= 100
    assert min(delay_ms(4, error) for _ in range(50)) > max(first)
    for attempts in (20, 10**6):
        assert all(delay_ms(attempts, error) <= LONGEST_DELAY_MS for _ in range(50))
    assert delay_ms(1, Overloaded("x", retry_after_ms=5000)) == 5000
    assert delay_ms(1, Overloaded("x", retry_after_ms=10**9)) == LONGEST_DELAY_MS


def test_what_was_not_run_is_given_back_at_once() -> None:
    assert given_back(_claim()) == RunPostponed(prediction_id="id", fence=7, delay_ms=0)


def test_what_was_there_when_a_hop_died_runs_in_small_groups_then_alone_then_counts() -> None:
    async def simulate() -> None:
        suspects = Suspects()
        verdicts = Verdicts(MAX_ATTEMPTS, suspects)

        def died(name: str, *, alone: bool, connected: bool = True) -> bool:
            postponed = verdicts.judge(
                _claim(name=name), Unavailable("x"), connected=connected, alone=alone
            )
            assert isinstance(postponed, RunPostponed)
            return postponed.counts

        async def others_succeed() -> None:
            await asyncio.sleep(1)
            verdicts.judge(_claim(name="other"), ANSWER, connected=True, alone=False)
            await asyncio.sleep(1)

        assert suspects.group_rows("bad") is None
        assert not died("bad", alone=False) and not died("good", alone=False)
        assert suspects.group_rows("bad") == suspects.group_rows("good") == GROUP_ROWS[0]
        await others_succeed()
        assert not died("bad", alone=False)
        assert suspects.group_rows("bad") == 1
        # Nobody was there to be killed.
        assert not died("bad", alone=True, connected=False)
        assert died("bad", alone=True) and died("bad", alone=True)
        # Whoever got through is suspected no more.
        verdicts.judge(_claim(name="good"), ANSWER, connected=True, alone=False)
        assert suspects.group_rows("good") is None

    run_virtually(simulate())


def test_an_outage_makes_nobody_guilty() -> None:
    async def simulate() -> None:
        suspects = Suspects()
        suspects.succeeded()
        for _ in range(100):
            await asyncio.sleep(1)
            assert not suspects.hop_died("id", connected=True, alone=True)
        assert suspects.group_rows("id") == GROUP_ROWS[0]

    run_virtually(simulate())


def test_only_so_many_suspects_are_remembered() -> None:
    suspects = Suspects()
    for number in range(MOST_KEPT + 10):
        suspects.hop_died(str(number), connected=True, alone=False)
    assert suspects.group_rows("9") is None
    assert suspects.group_rows("10") == GROUP_ROWS[0]
