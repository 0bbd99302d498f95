"""What becomes of submissions as they come in."""

from __future__ import annotations

import asyncio

from tailrace.runtime.errors import AlreadyExists, InvalidField, Overloaded, Reason
from tailrace.submissions.ids import new_prediction_id
from tailrace.submissions.open_queue import Queue
from tailrace.submissions.records import State, Submitted
from tests.support.queue_fixtures import OpenTestQueue
from tests.support.submissions import (
    claim_one,
    finish_one,
    new_submission,
    stored,
    submit,
    submit_past,
)


async def test_one_key_sent_a_hundred_times_at_once_is_one_submission(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue() as one, open_test_queue() as other:
        outcomes = await asyncio.gather(
            *(
                queue.submissions.submit(0, [new_submission(idempotency_key="k")])
                for _ in range(50)
                for queue in (one, other)
            )
        )
        submitted = [outcome for (outcome,) in outcomes if isinstance(outcome, Submitted)]
        assert len(submitted) == 100
        assert len({each.prediction_id for each in submitted}) == 1
        assert sum(not each.already_submitted for each in submitted) == 1
        assert len(await one.submissions.claim(0, 10)) == 1


async def test_one_key_twice_in_one_call_is_one_submission(queue: Queue) -> None:
    both = [new_submission(idempotency_key="k"), new_submission(idempotency_key="k")]
    first, second = await queue.submissions.submit(0, both)
    assert isinstance(first, Submitted) and isinstance(second, Submitted)
    assert second.already_submitted
    assert first.prediction_id == second.prediction_id


async def test_a_key_that_is_known_returns_the_present_state(queue: Queue) -> None:
    first = await submit(queue, idempotency_key="k")
    await finish_one(queue)
    again = await submit(queue, idempotency_key="k")
    assert again == Submitted(
        prediction_id=first.prediction_id,
        state=State.SUCCEEDED,
        already_submitted=True,
        created_ms=first.created_ms,
    )


async def test_a_key_that_is_known_is_known_also_when_its_time_has_passed(queue: Queue) -> None:
    first = await submit_past(queue, idempotency_key="past")
    kept = await stored(queue, first.prediction_id)
    again = new_submission(idempotency_key="past", not_after_ms=kept.not_after_ms)
    (outcome,) = await queue.submissions.submit(0, [again])
    assert isinstance(outcome, Submitted) and outcome.already_submitted
    assert outcome.prediction_id == first.prediction_id


async def test_a_new_one_whose_time_has_passed_is_refused(queue: Queue) -> None:
    late = new_submission(not_after_ms=await queue.submissions.now_ms())
    (outcome,) = await queue.submissions.submit(0, [late])
    assert isinstance(outcome, InvalidField) and outcome.field == "not_after"
    assert await queue.submissions.get([late.prediction_id], outcomes=False) == [None]


async def test_a_key_of_another_body_is_refused(queue: Queue) -> None:
    first = await submit(queue, idempotency_key="k", request=b"one")
    other = new_submission(idempotency_key="k", request=b"two")
    (outcome,) = await queue.submissions.submit(0, [other])
    assert isinstance(outcome, AlreadyExists)
    assert outcome.reason is Reason.IDEMPOTENCY_CONFLICT
    (claim,) = await queue.submissions.claim(0, 10)
    assert claim.prediction_id == first.prediction_id


async def test_the_same_key_of_another_tenant_is_another_submission(queue: Queue) -> None:
    first = await submit(queue, idempotency_key="k", tenant="acme")
    second = await submit(queue, idempotency_key="k", tenant="bolt")
    assert first.prediction_id != second.prediction_id


async def test_the_same_id_twice_is_one_submission(queue: Queue) -> None:
    new = new_submission()
    await queue.submissions.submit(0, [new])
    (again,) = await queue.submissions.submit(0, [new])
    assert isinstance(again, Submitted) and again.already_submitted
    assert len(await queue.submissions.claim(0, 10)) == 1


async def test_a_full_backlog_refuses_what_is_new_and_keeps_what_is_known(
    open_test_queue: OpenTestQueue,
) -> None:
    async with open_test_queue(max_queued_submissions=6) as queue:
        known = [new_submission(idempotency_key=str(i)) for i in range(2)]
        assert all(isinstance(o, Submitted) for o in await queue.submissions.submit(0, known))
        more = [new_submission(idempotency_key=str(i)) for i in range(3)]
        *first, refused = await queue.submissions.submit(0, more)
        assert all(isinstance(o, Submitted) and o.already_submitted for o in first)
        assert isinstance(refused, Overloaded)
        assert refused.reason is Reason.BACKLOG_FULL
        assert isinstance((await queue.submissions.submit(1, [new_submission(1)]))[0], Submitted)
        # What runs does not wait.
        await claim_one(queue)
        await submit(queue)


async def test_all_of_a_submission_is_kept(queue: Queue) -> None:
    new = new_submission(
        request_id="r-é",
        ordering_key="plane 7",
        priority=3,
        not_after_ms=9_999_999_999_999,
        traceparent="00-a-b-01",
        tracestate="x=y",
        request=bytes(range(256)) * 50,
    )
    await queue.submissions.submit(0, [new])
    kept = await stored(queue, new.prediction_id)
    assert (kept.tenant, kept.pipeline, kept.request_id) == ("acme", "flights", "r-é")
    assert (kept.ordering_key, kept.priority) == ("plane 7", 3)
    assert kept.not_after_ms == 9_999_999_999_999
    claim = await claim_one(queue)
    assert (claim.traceparent, claim.tracestate) == ("00-a-b-01", "x=y")
    assert (claim.request, claim.not_after_ms) == (new.request, 9_999_999_999_999)


async def test_thousands_in_one_call_are_all_there(queue: Queue) -> None:
    many = [new_submission() for _ in range(3000)]
    outcomes = await queue.submissions.submit(0, many)
    assert all(isinstance(outcome, Submitted) for outcome in outcomes)
    taken: list[str] = []
    while claims := await queue.submissions.claim(0, 1000):
        taken += (claim.prediction_id for claim in claims)
    assert taken == [each.prediction_id for each in many]


async def test_what_is_not_there_is_none(queue: Queue) -> None:
    ids = [new_prediction_id(0), "nonsense", new_prediction_id(200), ""]
    assert await queue.submissions.get(ids, outcomes=True) == [None] * 4


async def test_large_submissions_are_taken_in_parts(queue: Queue) -> None:
    many = [new_submission(request=bytes([number]) * 1_500_000) for number in range(7)]
    outcomes = await queue.submissions.submit(0, many)
    assert [o.prediction_id for o in outcomes if isinstance(o, Submitted)] == [
        each.prediction_id for each in many
    ]
    claims = await queue.submissions.claim(0, 100)
    assert [claim.request for claim in claims] == [each.request for each in many]
