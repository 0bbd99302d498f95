from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.descriptor import MethodDescriptor

from tailrace.loadtest.requests.template.call_data import CallData
from tailrace.loadtest.requests.template.template import Template
from tailrace.loadtest.requests.template.template_error import TemplateError
from tests.support.load_messages import echo_pool

# Made by Go itself: see the program beside it.
_CASES = json.loads(
    (Path(__file__).parents[2] / "support" / "go_templates" / "cases.json").read_text()
)


def _call(number: int = 7) -> CallData:
    method: MethodDescriptor = (
        echo_pool().FindServiceByName("test.load.EchoService").methods_by_name["Echo"]
    )
    data = CallData(method, name="", connections=1, seed=None)
    data.begin(number, 0)
    return data


@pytest.mark.parametrize(("text", "filled"), [case for case in _CASES if case[1] is not None])
def test_a_template_is_filled_as_go_fills_it(text: str, filled: str) -> None:
    assert Template(text).fill(_call()) == filled


@pytest.mark.parametrize("text", [case[0] for case in _CASES if case[1] is None])
def test_a_template_that_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text).fill(_call())
    assert caught.value.place(text).startswith("line 1, column ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\nb {{ nope }}", "line 2, column 6: there is no function 'nope' here"),
        ("{{ .RequestNo }}", "column 4: there is no .RequestNo: did you mean .RequestNumber?"),
        ("{{ uper `a` }}", "there is no function 'uper' here, did you mean 'upper'?"),
        ("{{ upper }}", "upper takes 1 argument, and has 0"),
        ("{{ round 1 }}", "round takes 2 to 3 arguments, and has 1"),
        ("{{ upper 5 }}", "upper does not take an int"),
        ('{{ printf "%d" "x" }}', "printf: %d is not for a string"),
        ('{{ printf "%d %d" 1 }}', "printf: there is no value for %d"),
        ("{{ randomInt 5 5 }}", "randomInt: there is no int from 5 to below 5"),
        ('{{ template "x" }}', "'template' is not supported here"),
        ("{{ if 1 }}x", "{{if}} has no {{end}}"),
        ('x {{ "a }}', "column 6: a string is not closed"),
        ("{{ .RequestNumber", "column 1: {{ is not closed"),
        ('{{ fail "not today" }}', "fail: not today"),
        ("{{ until 10000000 }}", "until: a list of 10,000,000 is too long"),
        ('{{ b64dec "§" }}', "b64dec: "),
        ('{{ fromJson "{" }}', "fromJson: "),
    ],
)
def test_a_bad_template_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text).fill(_call())
    assert told in f"{caught.value.place(text)}: {caught.value.problem}"


def test_go_functions_alone_are_left_where_the_others_are_disabled() -> None:
    assert Template('{{ printf "%d" 5 }}', functions=False).fill(_call()) == "5"
    with pytest.raises(TemplateError, match="function 'newUUID' is disabled"):
        Template("{{ newUUID }}", functions=False)
