"""The bookkeeping of a stream, over any order of what may happen to it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.client import Fields, Prediction, ServerFault, StreamResult, Tensor, Unavailable
from tailrace.client.request import Priority, RequestTemplate
from tailrace.client.stream_book import StreamBook, StreamLimits, raise_end
from tailrace.v1 import prediction_service_pb2 as messages

TEMPLATE = RequestTemplate(
    pipeline="echo", pipeline_version="", priority=Priority.NORMAL, tenant="", timeout_s=0.5
)
GOOD: Fields = {"grid": Tensor.of([1], "int8")}
UNSENDABLE: Fields = {"list": [0.5]}  # type: ignore[dict-item]


def new_book(rows_per_message: int, max_unanswered: int, ordered: bool) -> StreamBook:
    """A book whose ids are `r0`, `r1` and so on."""
    limits = StreamLimits(
        rows_per_message=rows_per_message, max_unanswered=max_unanswered, ordered=ordered
    )
    return StreamBook(TEMPLATE, limits, (f"r{n}" for n in itertools.count()))


def answer(place: int, request: messages.PredictRequest) -> messages.PredictStreamResult:
    """What a gateway answers to a request."""
    response = messages.PredictResponse(request_id=request.request_id)
    return messages.PredictStreamResult(place=place, response=response)


def handed_on(book: StreamBook) -> list[StreamResult]:
    """All results that are there to be handed on."""
    return list(iter(book.next_result, None))


@given(
    data=st.data(),
    rows=st.lists(st.booleans(), max_size=60),
    rows_per_message=st.integers(1, 5),
    spare=st.integers(0, 20),
    ordered=st.booleans(),
)
def test_every_row_that_was_taken_is_handed_on_once_or_named(
    data: st.DataObject, rows: list[bool], rows_per_message: int, spare: int, ordered: bool
) -> None:
    limit = rows_per_message + spare
    book = new_book(rows_per_message, limit, ordered)
    sent: list[tuple[int, messages.PredictRequest]] = []
    taken, places, results = 0, itertools.count(), list[StreamResult]()
    for step in data.draw(st.lists(st.sampled_from("tttmmah"), max_size=200)):
        if step == "t" and taken < len(rows) and book.may_take():
            assert book.take(GOOD if rows[taken] else UNSENDABLE) is rows[taken]
            taken += 1
        elif step == "m" and (message := book.message()) is not None:
            assert 1 <= len(message.requests) <= rows_per_message
            sent += [(next(places), request) for request in message.requests]
        elif step == "a" and sent:
            answered = [sent.pop(data.draw(st.integers(0, len(sent) - 1)))]
            book.receive(
                messages.PredictStreamResponse(results=itertools.starmap(answer, answered))
            )
        elif step == "h":
            results += handed_on(book)
        assert taken - len(results) <= limit
        assert len(sent) <= limit
    if ordered:
        assert [result.place for result in results] == list(range(len(results)))

    error = book.broken(Unavailable("gone"))

    results += handed_on(book)
    outcomes = {result.place: result for result in results}
    assert len(outcomes) == len(results)
    assert sorted([*outcomes, *error.unanswered]) == list(range(taken))
    for place, result in outcomes.items():
        assert result.request_id == f"r{place}"
        assert isinstance(result.outcome, Prediction) is rows[place]
        assert result.outcome.request_id == result.request_id
    assert all(request_id == f"r{place}" for place, request_id in error.unanswered.items())


def test_slow_result_holds_back_later_ones_only_in_order() -> None:
    for ordered, expected in ((False, [1, 2]), (True, [])):
        book = new_book(3, 3, ordered)
        assert [book.take(GOOD) for _ in range(3)] == [True] * 3
        message = book.message()
        assert message is not None
        late, *early = enumerate(message.requests)
        book.receive(messages.PredictStreamResponse(results=itertools.starmap(answer, early)))
        assert [result.place for result in handed_on(book)] == expected
        book.receive(messages.PredictStreamResponse(results=[answer(*late)]))
        assert len(handed_on(book)) == 3 - len(expected)


def test_result_without_an_outcome_is_a_fault_of_the_server() -> None:
    book = new_book(1, 1, ordered=False)
    book.take(GOOD)
    book.message()
    book.receive(messages.PredictStreamResponse(results=[messages.PredictStreamResult(place=0)]))

    (result,) = handed_on(book)

    assert isinstance(result.outcome, ServerFault)
    assert result.outcome.request_id == "r0"


@pytest.mark.parametrize("place", [0, 7])
def test_result_that_no_request_waits_for_is_refused(place: int) -> None:
    book = new_book(1, 1, ordered=False)

    with pytest.raises(ServerFault, match=f"request {place}"):
        book.receive(
            messages.PredictStreamResponse(results=[messages.PredictStreamResult(place=place)])
        )


def test_error_names_some_places_and_holds_them_all() -> None:
    book = new_book(10, 10, ordered=False)
    for _ in range(7):
        book.take(GOOD)

    error = book.broken(Unavailable("gone"))

    assert str(error) == (
        "UNAVAILABLE: gone; rows of the stream without an answer: 7 (0, 1, 2, 3, 4, …)"
    )
    assert error.message == "gone"
    assert error.unanswered == {n: f"r{n}" for n in range(7)}


def test_break_is_told_before_what_the_rows_raised() -> None:
    with pytest.raises(Unavailable) as caught:
        raise_end(Unavailable("gone"), OSError("no more"))

    assert caught.value.__notes__ == ["The rows had ended before with OSError('no more')."]
