"""Messages of which each is a line of JSON, encoded when they are wanted."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.json_text import parse_json
from tailrace.loadtest.requests.message_encoder import MessageEncoder
from tailrace.loadtest.requests.template.call_data import CallData
from tailrace.loadtest.requests.template.template import Template
from tailrace.loadtest.requests.template.template_error import TemplateError
from tailrace.loadtest.requests.templated_message import TemplatedMessage
from tailrace.loadtest.requests.templates import bad_template

# Encoded messages are kept up to here, and read templates up to so many: what comes after them is
# read anew each time.
_KEPT_BYTES = 64 << 20
_KEPT_TEMPLATES = 4_096
# What keeping a message takes beside its bytes.
_BESIDE_BYTES = 150
_PIECE = 1 << 24
_SPACES = b" \t\r"


class LineMessages:
    """The messages of a file's lines. Empty lines are left out.

    A file is mapped, not read: processes share its pages. Lines are encoded when their turn comes.
    """

    def __init__(
        self,
        content: Path | bytes,
        encoder: MessageEncoder,
        place: str,
        *,
        templates: bool,
        functions: bool,
    ) -> None:
        """Finds the lines.

        Args:
            content: the file, which must not change while it is used, or its bytes.
            encoder: of the messages.
            place: what the file is called, for errors.
            templates: lines may have templates.
            functions: templates may have more than Go's own functions.

        Raises:
            LoadError: it has no lines, or cannot be read.
        """
        self._encoder = encoder
        self._place = place
        self._functions = functions
        self._text = content if isinstance(content, bytes) else _mapped(content, place)
        self._starts, self._ends, self._numbers = _lines(self._text)
        self.count = len(self._starts)
        if not self.count:
            raise LoadError(f"{place} has no messages", "write a JSON object a line")
        self.varies = templates and self._text.find(b"{{") >= 0
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self._templates: dict[int, TemplatedMessage] = {}

    def one(self, number: int, data: CallData) -> bytes:
        """Returns the message of a call: see `MessageSupply`."""
        at = number % self.count
        kept = self._kept.get(at)
        if kept is not None:
            return kept
        if at in self._templates:
            return self._templates[at].fill(data)
        raw = self._text[self._starts[at] : self._ends[at]]
        place = f"line {self._numbers[at]} of {self._place}"
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise LoadError(f"{place} is not UTF-8: {error.reason}", "write it as UTF-8") from error
        if self.varies and "{{" in line:
            return self._template(at, line, place, data).fill(data)
        message = self._encoder.encode(parse_json(line, place), place)
        if self._kept_bytes < _KEPT_BYTES:
            self._kept[at] = message
            self._kept_bytes += len(message) + _BESIDE_BYTES
        return message

    def all(self, data: CallData) -> tuple[bytes, ...]:
        """Returns all messages: see `MessageSupply`."""
        return tuple(self.one(at, data) for at in range(self.count))

    def _template(self, at: int, line: str, place: str, data: CallData) -> TemplatedMessage:
        try:
            template = Template(line, functions=self._functions)
        except TemplateError as error:
            raise bad_template(error, line, place) from error
        data.reserve(template.slots)
        message = TemplatedMessage(template.parts, self._encoder, place)
        if len(self._templates) < _KEPT_TEMPLATES:
            self._templates[at] = message
        return message


def _mapped(path: Path, place: str) -> mmap.mmap | bytes:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:
        # An empty file cannot be mapped.
        return b""
    except OSError as error:
        raise LoadError(
            f"{place} cannot be read: {error.strerror}", "leave the file in its place"
        ) from error


_Places = npt.NDArray[np.int64]


def _lines(text: mmap.mmap | bytes) -> tuple[_Places, _Places, _Places]:
    """Returns where lines begin and end, and their numbers; those of spaces only are left out."""
    if not text:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    raw = np.frombuffer(text, np.uint8)
    # Piece by piece: what is found out of each byte takes more room than the file.
    pieces = range(0, len(raw), _PIECE)
    breaks = np.concatenate(
        [np.flatnonzero(raw[at : at + _PIECE] == ord("\n")) + at for at in pieces]
    )
    ends = np.append(breaks, len(raw))
    starts = np.append(0, breaks + 1)
    if raw[:3].tobytes() == b"\xef\xbb\xbf":
        starts[0] = 3
    # A line that does not begin with a space has something in it; few others have to be looked at.
    empty = ends <= starts
    spaced = np.isin(raw[np.minimum(starts, len(raw) - 1)], np.frombuffer(_SPACES, np.uint8))
    for line in np.flatnonzero(spaced & ~empty):
        empty[line] = not text[starts[line] : ends[line]].strip()
    kept = np.flatnonzero(~empty)
    return starts[kept], ends[kept], kept + 1
