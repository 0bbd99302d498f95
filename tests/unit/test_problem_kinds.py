"""Problems of many events, told by kind."""

from __future__ import annotations

from tailrace.cli.problem_kinds import SHOWN_KINDS, ProblemKinds


def test_problems_that_differ_in_event_and_numbers_only_are_one_line_with_their_count() -> None:
    kinds = ProblemKinds()
    for number in range(900):
        message = f"{number} s late"
        kinds.add({"id": f"e{number}", "view": "v", "reason": "LATE", "message": message})
    kinds.add({"row": 3, "message": "not JSON", "field": ""})
    assert list(kinds.lines()) == [
        '900 × {"id": "e0", "view": "v", "reason": "LATE", "message": "0 s late"}',
        '1 × {"row": 3, "message": "not JSON", "field": ""}',
    ]


def test_beyond_the_first_kinds_problems_are_counted_together() -> None:
    kinds = ProblemKinds()
    for _ in range(2):
        for place in range(SHOWN_KINDS + 3):
            kinds.add({"message": "x" * place})
    *shown, last = kinds.lines()
    assert [line.partition(" ")[0] for line in shown] == ["2"] * SHOWN_KINDS
    assert last == "… and 6 more problems of other kinds"
