from __future__ import annotations

from typing import Any

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests import templated_message
from tests.support.load_sources import sent, source_of, texts


def test_each_call_has_its_own_message() -> None:
    source = source_of(data='{"text": "n{{.RequestNumber}}", "code": {{.RequestNumber}}}')
    assert [(one.text, one.code) for n in (0, 1, 5) for one in sent(source, n)] == [
        ("n0", 0),
        ("n1", 1),
        ("n5", 5),
    ]


def test_what_is_not_filled_stays_as_it_is() -> None:
    source = source_of(
        data='{"text": "{{.RequestNumber}}", "numbers": ["7"], "label": {}, "yes": false}'
    )
    for number in range(2):
        message = sent(source, number)[0]
        assert list(message.numbers) == [7]
        assert message.HasField("label") and message.WhichOneof("choice") == "yes"


def test_messages_of_an_array_are_taken_in_turn_or_streamed() -> None:
    data = '{{$n := .RequestNumber}}[{"text": "a{{$n}}"}, {"text": "b{{$n}}", "code": 1}]'
    source = source_of(data=data)
    assert [texts(source, number) for number in range(3)] == [["a0"], ["b1"], ["a2"]]
    assert texts(source_of("Collect", data=data), 4) == ["a4", "b4"]


def test_messages_may_be_made_by_a_range() -> None:
    data = '[{{range $i := until 3}}{{if $i}},{{end}}{"text": "{{$.RequestNumber}}.{{$i}}"}{{end}}]'
    assert texts(source_of("Collect", data=data), 2) == ["2.0", "2.1", "2.2"]
    assert texts(source_of(data=data), 4) == ["4.1"]


# Where holes are values, only these are set anew; the same comes of the long way.
_TEMPLATES = [
    '{"text": "{{.RequestNumber}}"}',
    '{"text": "a{{.MethodName}}\\n{{.RequestNumber}}é"}',
    '{"code": {{.RequestNumber}}, "numbers": [1, {{add .RequestNumber 1}}, "{{.RequestNumber}}"]}',
    '{"label": {"name": "{{.WorkerID}}"}, "yes": {{.IsClientStreaming}}}',
    '{"trailers": {"a": "{{.RequestNumber}}", "b": "x"}, "weight": {{divf .RequestNumber 4}}}',
    '{"weight": {{.RequestNumber}}.5, "payload": "{{b64enc "abc"}}"}',
    '{"colour": "{{if eq (mod .RequestNumber 2) 0}}COLOUR_RED{{else}}COLOUR_RED{{end}}"}',
    '{"text": {{quote .RequestNumber}}, "delayMs": {{printf "%d" .RequestNumber}}}',
    '{"text": "{{"tab\\there"}}"}'.replace("\\t", "\\\\t"),
    '{"{{if true}}text{{end}}": "x"}',
    '{{$x := .RequestNumber}}{"text": "{{$x}}"{{if gt $x 1}}, "code": 2{{end}}}',
]


@pytest.mark.parametrize("data", _TEMPLATES)
def test_the_short_way_comes_to_the_same_as_the_long_way(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = source_of(data=data, check=False)
    monkeypatch.setattr(templated_message, "skeleton", lambda parts: None)
    long = source_of(data=data, check=False)
    for number in range(3):
        assert sent(short, number, 1) == sent(long, number, 1)


def test_a_value_that_json_reads_otherwise_goes_the_long_way() -> None:
    # Nothing is escaped, as in ghz: the backslash is JSON's.
    assert texts(source_of(data='{"text": "{{printf `a%sb` `\\\\n`}}"}')) == ["a\\nb"]
    source = source_of(data='{"text": "{{printf `a%sb` `\\n`}}"}')
    assert texts(source) == ["a\nb"]


def test_a_large_number_is_told_with_its_call() -> None:
    source = source_of(data='{"code": {{mul .RequestNumber 3000000000}}}')
    assert sent(source, 0)[0].code == 0
    with pytest.raises(LoadError) as caught:
        source.request(1, 0)
    assert str(caught.value).startswith("--data as filled for call 1 is no test.load.EchoRequest: ")
    assert "Value out of range: 3000000000" in str(caught.value)
    assert sent(source, 0)[0].code == 0


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ('{"text": "{{nope}}"}', "--data has a bad template, line 1, column 13: there is no funct"),
        ('{"text": "{{`"`}}"}', "--data as filled for call 0 is not JSON: Expecting ',' delimiter"),
        (
            '{"txt": "{{.UUID}}"}',
            "--data as filled for call 0 is no test.load.EchoRequest",
        ),
        ('{"text": "{{randomInt 1 1}}"}', "the template of call 0 cannot be filled: randomInt: "),
        ('[{{range list}}{}{{end}}]{{""}}', "--data as filled for call 0 has no messages"),
        ('[{}, {"txt": "{{.UUID}}"}]', "message 2 of --data as filled for call 0 is no "),
    ],
)
def test_a_template_that_gives_no_message_is_told(data: str, told: str) -> None:
    with pytest.raises(LoadError) as caught:
        source_of(data=data)
    assert told in str(caught.value)


def test_templates_can_be_disabled() -> None:
    source = source_of(data='{"text": "{{.UUID}}"}', disable_template_data=True)
    assert texts(source) == ["{{.UUID}}"]
    with pytest.raises(LoadError, match="function 'newUUID' is disabled"):
        source_of(data='{"text": "{{newUUID}}"}', disable_template_functions=True)


def test_a_message_of_a_stream_can_be_filled_for_itself() -> None:
    data = '[{"text": "a{{.RequestNumber}} {{.UUID}}"}, {"text": "b{{.UUID}}"}]'
    source = source_of("Chat", data=data, stream_dynamic_messages=True, seed=1)
    both = texts(source, 3)
    assert [text[0] for text in both] == ["a", "b"]
    filled = [source.message(3, 0, place) for place in range(4)]
    assert len(set(filled)) == 4
    assert filled == [source.message(3, 1, place) for place in range(4)]
    assert b"a3 " in filled[0] and b"b" in filled[1] and b"a3 " in filled[2]


def test_a_message_of_a_stream_that_is_always_the_same_is_taken_in_turn() -> None:
    source = source_of("Chat", data='[{"text": "a"}, {"text": "b"}]')
    assert [source.message(0, 0, place)[-1:] for place in range(3)] == [b"a", b"b", b"a"]


def test_another_object_is_made_for_each_call_of_a_template() -> None:
    source = source_of(data='{"text": "{{.RequestNumber}}"}')
    assert source.request(0, 0) is not source.request(0, 0)


def test_one_process_gives_the_same_as_another_with_a_seed() -> None:
    options: dict[str, Any] = {
        "data": '{"text": "{{newUUID}}"}',
        "metadata": '{"a": "{{.UUID}}"}',
        "seed": 3,
    }
    one, other = source_of(**options), source_of(**options)
    assert one.request(8, 0).messages == other.request(8, 5).messages
    assert one.request(9, 1).metadata == other.request(9, 0).metadata
    assert one.request(8, 0).messages != one.request(9, 0).messages
