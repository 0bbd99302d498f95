from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests import metadata_supply
from tailrace.loadtest.requests.metadata_supply import reflection_metadata
from tests.support.load_sources import source_of


def _metadata(number: int = 0, **options: Any) -> Any:
    return source_of(**options).request(number, 2).metadata


def test_names_are_sent_in_lower_case_and_binary_values_as_bytes() -> None:
    text = '{"X-Trace": "a b~", "key-bin": "AAH/", "bare-bin": "aGk", "many": ["1", "2"]}'
    assert _metadata(metadata=text) == (
        ("x-trace", "a b~"),
        ("key-bin", b"\x00\x01\xff"),
        ("bare-bin", b"hi"),
        ("many", "1"),
        ("many", "2"),
    )


def test_without_metadata_none_is_sent(tmp_path: Path) -> None:
    empty = tmp_path / "metadata.json"
    empty.write_text(" \n")
    assert _metadata() == _metadata(metadata="{}") == _metadata(metadata_file=empty) == ()


def test_a_file_holds_the_same_as_a_flag(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    path.write_text('{"a": "{{.RequestNumber}}"}')
    assert _metadata(4, metadata_file=path) == (("a", "4"),)


def test_an_array_is_taken_in_turn_beside_the_messages() -> None:
    source = source_of(
        data='[{"text": "a"}, {"text": "b"}, {"text": "c"}]', metadata='[{"m": "x"}, {"m": "y"}]'
    )
    values = [dict(source.request(number, 0).metadata)["m"] for number in range(7)]
    assert values == list("xyxyxyx")
    assert source.request(0, 0) is source.request(6, 0)
    assert source.request(0, 0) is not source.request(3, 0)


def test_a_template_is_filled_for_each_call() -> None:
    text = '{"n": "{{.RequestNumber}}", "w": "id-{{.WorkerID}}", "fixed": "1", '
    text += '"b-bin": "{{b64enc `x`}}"}'
    source = source_of(metadata=text)
    assert source.request(3, 2).metadata == (
        ("n", "3"),
        ("w", "id-g2c0"),
        ("fixed", "1"),
        ("b-bin", b"x"),
    )
    assert dict(source.request(4, 2).metadata)["n"] == "4"


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "{{.RequestNumber}}", "b": "x{{.MethodName}}y"}',
        '[{"a": "{{.RequestNumber}}"}, {"b": "{{.MethodName}}"}]',
        '{"a": "{{printf `q%su` `\\\\u0041`}}"}',
    ],
)
def test_the_short_way_comes_to_the_same_as_the_long_way(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = source_of(metadata=text)
    monkeypatch.setattr(metadata_supply, "skeleton", lambda parts: None)
    long = source_of(metadata=text)
    for number in range(3):
        assert short.request(number, 0).metadata == long.request(number, 0).metadata


def test_names_and_several_values_may_be_templates_too() -> None:
    text = '{"{{lower `N`}}-{{.RequestNumber}}": ["{{.MethodName}}", "b"]}'
    assert _metadata(5, metadata=text) == (("n-5", "Echo"), ("n-5", "b"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{":path": "x"}', "--metadata: ':path' is reserved"),
        ('{"TE": "x"}', "--metadata: 'TE' is reserved"),
        ('{"grpc-timeout": "1S"}', "'grpc-timeout' is reserved"),
        ('{"a b": "x"}', "'a b' is no name of metadata"),
        ('{"": "x"}', "'' is no name of metadata"),
        ('{"a": "é"}', "'a' has what is no printable ASCII: 'é' (give it another name"),
        ('{"a": "x\\n"}', "no printable ASCII"),
        ('{"a": 5}', "'a' is no string (put its value in quotes)"),
        ('{"a": [5]}', "'a' is no string"),
        ('{"a-bin": "§"}', "'a-bin' is no base64"),
        ('[{"a": "b"}, {"te": "x"}]', "object 2 of --metadata: 'te' is reserved"),
        ("[]", "--metadata is an empty array"),
        ('"x"', "--metadata is no object of JSON"),
        ("{", "--metadata is not JSON"),
        ('{"a": "b", "a": "c"}', "'a' is there twice"),
        ('{"a": "{{nope}}"}', "--metadata has a bad template, line 1, column 10"),
        ('{"te": "{{.UUID}}"}', "'te' is reserved"),
        ('{"a": "{{`é`}}"}', "--metadata as filled for call 0: 'a' has what is no printable ASCII"),
        ('{"a": {{.RequestNumber}}}', "--metadata as filled for call 0: 'a' is no string"),
        ('{"a": "{{randomInt 2 1}}"}', "the template of call 0 cannot be filled: randomInt"),
    ],
)
def test_what_grpc_does_not_allow_is_told(text: str, told: str) -> None:
    with pytest.raises(LoadError) as caught:
        source_of(metadata=text)
    assert told in str(caught.value)


def test_reflection_has_metadata_of_its_own() -> None:
    assert reflection_metadata("") == ()
    assert reflection_metadata('{"Authorization": "Bearer x"}') == (("authorization", "Bearer x"),)
    with pytest.raises(LoadError, match="--reflect-metadata is an array"):
        reflection_metadata('[{"a": "b"}, {}]')
    with pytest.raises(LoadError, match="--reflect-metadata: 'te' is reserved"):
        reflection_metadata('{"te": "x"}')
