"""Reads data and metadata from where the options say that they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.load_options import LoadOptions

# What comes from there in binary is kept in a file of this name.
_STANDARD_INPUT = "stdin"
# Or, on Linux, in one that has no name but this.
_KEPT_OPEN = re.compile(r"/proc/\d+/fd/\d+")
_LINES = frozenset({".ndjson", ".jsonl"})
# Two lines, each of which is an object of its own.
_TWO_OBJECTS = re.compile(rb"\s*\{[^\n]*\}[ \t\r]*\n\s*\{[^\n]*\}[ \t\r]*(?:\n|\Z)")
_LOOKED_AT = 1 << 20


class Form(Enum):
    """How messages are written: as one document of JSON, as one a line, or as protobuf does."""

    DOCUMENT = auto()
    LINES = auto()
    BINARY = auto()


@dataclass(frozen=True, slots=True)
class DataInput:
    """Where messages are to be found.

    Attributes:
        form: what it is.
        content: the text; the file, or the text's bytes, for what is not read at once.
        place: what it is called, for errors.
    """

    form: Form
    content: str | bytes | Path
    place: str


def data_input(options: LoadOptions) -> DataInput:
    """Returns where messages are to be found. As in ghz, files come before what is given directly.

    Raises:
        LoadError: a file cannot be read, or is not UTF-8.
    """
    if options.binary_file is not None:
        path = options.binary_file
        return DataInput(Form.BINARY, read_bytes(path), told_name(path))
    if options.data_file is not None:
        path, place = options.data_file, told_name(options.data_file)
        if path.suffix in _LINES or _TWO_OBJECTS.match(_first_bytes(path, place)):
            return DataInput(Form.LINES, path, place)
        return DataInput(Form.DOCUMENT, read_text(path), place)
    raw = options.data.encode()
    if _TWO_OBJECTS.match(raw):
        return DataInput(Form.LINES, raw, "--data")
    return DataInput(Form.DOCUMENT, options.data, "--data")


def metadata_text(options: LoadOptions) -> tuple[str, str]:
    """Returns the metadata's text, and what it is called.

    Raises:
        LoadError: its file cannot be read, or is not UTF-8.
    """
    if options.metadata_file is not None:
        return read_text(options.metadata_file), told_name(options.metadata_file)
    return options.metadata, "--metadata"


def read_bytes(path: Path) -> bytes:
    """Returns a file's content.

    Raises:
        LoadError: it cannot be read.
    """
    _refuse_pipe(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadError(
            f"{told_name(path)} cannot be read: {error.strerror}", "name a file that can"
        ) from error


def read_text(path: Path) -> str:
    """Returns a text file's content, without a byte order mark.

    Raises:
        LoadError: it cannot be read, or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LoadError(
            f"{told_name(path)} is not UTF-8 at byte {error.start}",
            "binary messages: --binary-file",
        ) from error


def told_name(path: Path) -> str:
    """Returns what a file is called in errors."""
    kept = path.name == _STANDARD_INPUT or _KEPT_OPEN.fullmatch(str(path))
    return "standard input" if kept else str(path)


def _refuse_pipe(path: Path) -> None:
    # Every process that makes load reads it, and so does the one that checks it.
    if path.is_fifo():
        raise LoadError(f"{path} is a pipe, which can be read once", "a file is needed here")


def _first_bytes(path: Path, place: str) -> bytes:
    _refuse_pipe(path)
    try:
        with path.open("rb") as file:
            return file.read(_LOOKED_AT)
    except OSError as error:
        raise LoadError(
            f"{place} cannot be read: {error.strerror}", "name a file that can"
        ) from error
