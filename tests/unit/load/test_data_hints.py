"""Data that is none is told with what to write instead."""

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.json_text import parse_json


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": 1, "a": 2}', "[NaN]"])
def test_what_is_no_json_has_a_hint(text: str) -> None:
    with pytest.raises(LoadError) as error:
        parse_json(text, "--data")
    assert error.value.hint == 'write JSON, such as {"name": "value"}'
    assert "\n" not in str(error.value)
