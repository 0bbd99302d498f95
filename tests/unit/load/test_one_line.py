"""What others' texts become where a terminal shows them."""

import pytest

from tailrace.loadtest.one_line import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("as it is, é and 漢字", "as it is, é and 漢字"),
        ("two\nlines\r\n  and\ttabs", "two lines and tabs"),
        ("\x1b[31mred\x1b[2J", r"\x1b[31mred\x1b[2J"),
        ("\x00\x07\x7f\x9b", r"\x00\x07\x7f\x9b"),
        ("turned \u202e round", r"turned \u202e round"),
        (r"a\x1b in letters", r"a\x1b in letters"),
    ],
)
def test_nothing_steers_the_terminal(text: str, line: str) -> None:
    assert one_line(text) == line
