from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.binary_messages import binary_messages
from tests.support.load_messages import echo_request, message_class
from tests.support.load_sources import source_of, texts

_REQUEST = message_class("EchoRequest")


def _counted(*messages: bytes) -> bytes:
    out = b""
    for message in messages:
        length = len(message)
        while length >= 0x80:
            out += bytes([length & 0x7F | 0x80])
            length >>= 7
        out += bytes([length]) + message
    return out


def test_the_whole_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(echo_request(text="a", code=5))
    assert texts(source_of(binary_file=path), 3) == ["a"]


def test_messages_with_their_lengths_are_taken_in_turn_or_streamed(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(_counted(*(echo_request(text=text * 100) for text in "abc")))
    source = source_of(binary_file=path)
    assert [texts(source, number)[0][0] for number in range(4)] == ["a", "b", "c", "a"]
    assert [text[0] for text in texts(source_of("Chat", binary_file=path))] == ["a", "b", "c"]


def test_an_empty_file_is_a_message_without_fields(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.touch()
    assert source_of(binary_file=path).request(0, 0).messages == (b"",)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.builds(lambda text: echo_request(text=text), st.text(max_size=300)), min_size=1))
def test_any_messages_with_their_lengths_are_read_back(messages: list[bytes]) -> None:
    assert binary_messages(_counted(*messages), _REQUEST, "data") == messages


def test_a_message_that_is_cut_off_is_told(tmp_path: Path) -> None:
    whole = _counted(echo_request(text="first"), echo_request(text="second"))
    path = tmp_path / "data.bin"
    path.write_bytes(whole[:-2])
    with pytest.raises(LoadError) as caught:
        source_of(binary_file=path)
    assert "data.bin is no test.load.EchoRequest, and no messages of this type" in str(caught.value)
    path.write_bytes(b"\xff" * 30)
    with pytest.raises(LoadError, match="is no test.load.EchoRequest"):
        source_of(binary_file=path)
