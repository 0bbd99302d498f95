from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.message_encoder import MessageEncoder
from tailrace.v1.prediction_service_pb2 import PredictRequest
from tests.support.load_messages import message_class
from tests.support.load_sources import sent, source_of, texts


def test_without_data_a_message_without_fields_is_sent() -> None:
    assert source_of().request(0, 0).messages == (b"",)
    assert source_of("Collect").request(0, 0).messages == (b"",)
    assert source_of(data="null").request(0, 0).messages == (b"",)


def test_one_object_is_the_same_request_for_all_calls() -> None:
    source = source_of(data='{"text": "hi"}')
    assert source.request(0, 0) is source.request(7, 3)
    assert texts(source) == ["hi"]


@pytest.mark.parametrize("method", ["Echo", "Repeat"])
def test_an_array_is_taken_in_turn_by_calls_with_one_message(method: str) -> None:
    source = source_of(method, data='[{"text": "a"}, {"text": "b"}, {}]')
    assert [texts(source, number) for number in range(4)] == [["a"], ["b"], [""], ["a"]]
    assert source.request(1, 0) is source.request(4, 0)


@pytest.mark.parametrize("method", ["Collect", "Chat"])
def test_an_array_is_sent_whole_by_calls_that_stream(method: str) -> None:
    source = source_of(method, data='[{"text": "a"}, {"text": "b"}]')
    assert texts(source, 5) == ["a", "b"]
    assert source.request(0, 0) is source.request(1, 0)
    assert source_of(method, data="[]").request(0, 0).messages == ()


def test_a_file_holds_the_same_as_a_flag(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(b"\xef\xbb\xbf" + '\n [{"text": "é"}]\n'.encode())
    assert texts(source_of(data_file=path)) == ["é"]


_ALL_KINDS: dict[str, Any] = {
    "text": "é\n",
    "payload": "aGVsbG8=",
    "delayMs": 1.5,
    "code": "3",
    "trailers": {"a": "b", "c": ""},
    "numbers": ["9223372036854775807", -1, 5],
    "label": {},
    "yes": False,
    "colour": 1,
}


def test_json_becomes_what_protobufs_own_mapping_makes_of_it() -> None:
    message = sent(source_of(data=json.dumps(_ALL_KINDS)))[0]
    assert message == json_format.ParseDict(_ALL_KINDS, message_class("EchoRequest")())
    assert message.HasField("label") and message.WhichOneof("choice") == "yes"
    assert message.numbers[0] == 9223372036854775807


_NAMES = ["text", "payload", "delay_ms", "delayMs", "code", "trailers", "numbers", "label", "yes"]
_NAMES += ["weight", "colour", "nothing"]
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["5", "-7", "1e3", "NaN", "aGk=", "aGk", "RED", " 5", "1.0", "0x1"]),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "name", "a"]) | st.text(max_size=2), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=4))
def test_the_short_way_and_protobufs_own_come_to_the_same(value: dict[str, Any]) -> None:
    expected: Any = None
    try:
        expected = json_format.ParseDict(value, message_class("EchoRequest")())
    except (json_format.ParseError, TypeError, AttributeError, ValueError, OverflowError):
        pass
    try:
        made = MessageEncoder(message_class("EchoRequest")).message(value, "data")
    except LoadError:
        made = None
    assert (made is None) == (expected is None)
    # Compared by their text, as NaN equals nothing.
    assert str(made) == str(expected)


def test_times_and_enums_of_predictions_are_read() -> None:
    value = {
        "pipeline": "flight-delay",
        "fields": {"at": {"timestampValue": "2013-12-05T04:59:00.5Z"}, "n": {"int64Value": "7"}},
        "timeout": "0.250s",
        "priority": "PRIORITY_UNSPECIFIED",
    }
    made = MessageEncoder(PredictRequest).encode(value, "data")
    assert PredictRequest.FromString(made) == json_format.ParseDict(value, PredictRequest())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ('{"text": "a}', "--data is not JSON: Unterminated string starting at at column 10"),
        ('{"text": "a",\n}', "--data is not JSON: Expecting property name"),
        ('[{"text": "a"},\n {"text": b}]', "at line 2, column 11: "),
        ('{"text": "a", "text": "b"}', "--data is not JSON: 'text' is there twice"),
        ('{"delay_ms": NaN}', "--data is not JSON: it has no NaN"),
        ('{"txt": "a"}', "EchoRequest has no field 'txt' (did you mean 'text'?)"),
        ('{"label": {"nam": "a"}}', "has no field 'label.nam' (did you mean 'name'?)"),
        (
            '[{}, {"answers": "x"}]',
            "message 2 of --data is no test.load.EchoRequest",
        ),
        ('{"answers": 99999999999}', "Value out of range: 99999999999"),
        ('{"yes": true, "weight": 1}', 'multiple "choice" oneof fields'),
        ("[[]]", "message 1 of --data is no test.load.EchoRequest: it is an array"),
        ("5", "it is a number, and not an object"),
        ('"x"', "it is a string, and not an object"),
        ("[]", "--data has no messages"),
        ("@", "--data is not JSON: Expecting value at column 1: @"),
        ("[" * 100_000, "is nested too deeply"),
    ],
)
def test_malformed_data_is_told_in_a_line_with_its_place(data: str, told: str) -> None:
    with pytest.raises(LoadError) as caught:
        source_of(data=data)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(b'{"text": "\xff"}')
    with pytest.raises(LoadError, match="is not UTF-8 at byte 10"):
        source_of(data_file=path)
    with pytest.raises(LoadError, match="missing.json cannot be read: No such file"):
        source_of(data_file=tmp_path / "missing.json")
