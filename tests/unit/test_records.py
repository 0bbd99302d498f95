"""What records of the queue show of themselves."""

from __future__ import annotations

from tailrace.submissions.records import CallbackChoice, DeliveryClaim
from tailrace.v1.prediction_service_pb2 import InlineCallback
from tests.support.submissions import new_submission


def test_records_do_not_show_the_secret_of_an_inline_callback() -> None:
    inline = InlineCallback(
        target="https://a.example/", secret="whsec_c2VjcmV0"
    ).SerializeToString()
    choice = CallbackChoice(key="~0123", inline=inline)
    claim = DeliveryClaim(
        prediction_id="000-1",
        fence=1,
        attempt=1,
        prediction=None,  # type: ignore[arg-type]  # not looked at
        inline=inline,
        traceparent="",
    )

    for shown in (repr(choice), repr(new_submission(callback=choice)), repr(claim)):
        assert "c2VjcmV0" not in shown
