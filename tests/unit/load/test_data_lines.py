from __future__ import annotations

import os
from pathlib import Path

import pytest

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests import line_messages
from tailrace.loadtest.requests import source as source_module
from tests.support.load_sources import source_of, texts


def _lines(folder: Path, content: str | bytes, name: str = "data.ndjson") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", ["data.ndjson", "data.jsonl", "data.txt"])
def test_lines_are_taken_in_turn(tmp_path: Path, name: str) -> None:
    path = _lines(tmp_path, '{"text": "a"}\n\n{"text": "b"}\r\n  \n{"text": "c"}', name)
    source = source_of(data_file=path)
    assert [texts(source, number) for number in range(4)] == [["a"], ["b"], ["c"], ["a"]]
    assert source.request(0, 0) is source.request(3, 0)


def test_lines_can_be_given_directly() -> None:
    source = source_of(data='{"text": "a"}\n{"text": "b"}\n')
    assert [texts(source, number) for number in range(3)] == [["a"], ["b"], ["a"]]


def test_a_document_over_lines_is_one_message(tmp_path: Path) -> None:
    path = _lines(tmp_path, '{\n"label": {"name":\n"x"},\n"text": "a"\n}\n', "data.json")
    assert texts(source_of(data_file=path)) == ["a"]


def test_all_lines_are_sent_by_calls_that_stream(tmp_path: Path) -> None:
    path = _lines(tmp_path, b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}')
    assert texts(source_of("Collect", data_file=path)) == ["a", "b"]


def test_lines_may_be_templates(tmp_path: Path) -> None:
    path = _lines(tmp_path, '{"text": "{{.RequestNumber}}"}\n{"text": "{{`x` | upper}}"}\n{}\n')
    source = source_of(data_file=path)
    assert [texts(source, number) for number in range(4)] == [["0"], ["X"], [""], ["3"]]
    as_it_is = source_of(data_file=path, disable_template_data=True)
    assert texts(as_it_is, 0) == ["{{.RequestNumber}}"]


def test_what_is_not_kept_is_encoded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_messages, "_KEPT_BYTES", 4)
    monkeypatch.setattr(line_messages, "_KEPT_TEMPLATES", 1)
    path = _lines(tmp_path, "".join(f'{{"text": "{n}{{{{`t`}}}}"}}\n' for n in range(3)) + "{}\n")
    source = source_of(data_file=path)
    assert [texts(source, number) for number in range(8)] == [["0t"], ["1t"], ["2t"], [""]] * 2


def test_a_bad_line_is_told_with_its_number(tmp_path: Path) -> None:
    path = _lines(tmp_path, '{"text": "a"}\n\n{"text": \n')
    with pytest.raises(LoadError, match=r"line 3 of .*data.ndjson is not JSON: Expecting value"):
        source_of(data_file=path)
    path = _lines(tmp_path, '{}\n{"txt": 1}\n')
    with pytest.raises(LoadError, match=r"line 2 of .* is no .*: .* no field 'txt'"):
        source_of(data_file=path)
    path = _lines(tmp_path, '{}\n{"text": "{{nope}}"}\n')
    with pytest.raises(LoadError, match=r"line 2 of .* has a bad template, line 1, column 13: "):
        source_of(data_file=path)
    path = _lines(tmp_path, b'{}\n{"text": "\xff"}\n')
    with pytest.raises(LoadError, match="line 2 of .* is not UTF-8"):
        source_of(data_file=path)


def test_a_bad_line_far_down_is_told_when_its_turn_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "CHECKED_LINES", 5)
    path = _lines(tmp_path, "{}\n" * 5 + "{]\n")
    source = source_of(data_file=path)
    assert source.request(4, 0).messages == (b"",)
    with pytest.raises(LoadError, match="line 6 of .* is not JSON"):
        source.request(5, 0)


def test_a_file_without_lines_is_told(tmp_path: Path) -> None:
    for content in ("", "\n \n"):
        with pytest.raises(LoadError, match="has no messages"):
            source_of(data_file=_lines(tmp_path, content))


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(LoadError, match="is a pipe, which can be read once"):
        source_of(data_file=path)
