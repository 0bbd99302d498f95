"""What a receiver was sent: lines that it appends before it answers, and that outlive it."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery as it arrived.

    Attributes:
        prediction_id: its id, as `webhook-id` or `delivery_id` said.
        via: which of the receiver's endpoints it came to.
        digest: of its body, in hex.
        body: all of it where this run of the receiver had not seen the id before, else empty.
        attempt: as the courier counts, or 0 where it does not say.
        verified: whether its signature was right.
        confirmed: whether the receiver took it. It may still have failed to say so.
        at_s: when, in seconds since 1970.
    """

    prediction_id: str
    via: str
    digest: str
    body: bytes
    attempt: int
    verified: bool
    confirmed: bool
    at_s: float


class JournalWriter:
    """Appends deliveries to a file; what was appended is there, also if this process is killed."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        # The run before may have been killed within a line.
        os.write(self._file, b"\n")

    def append(self, delivery: Delivery) -> None:
        """Hands one line to the kernel."""
        content = asdict(delivery)
        content["body"] = base64.b64encode(delivery.body).decode()
        line = json.dumps(content).encode() + b"\n"
        written = os.write(self._file, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes were written")


class JournalReader:
    """Reads a journal while it is being written.

    Attributes:
        deliveries: all that were read so far, in order of arrival.
        torn: lines that were never whole, as their writer was killed: these were not confirmed.
    """

    def __init__(self, path: Path) -> None:
        self.deliveries: list[Delivery] = []
        self.torn = 0
        self._path = path
        self._offset = 0

    def read_new(self) -> list[Delivery]:
        """Returns what has been appended since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        found = [delivery for line in whole.splitlines() if (delivery := self._parsed(line))]
        self.deliveries += found
        return found

    def _parsed(self, line: bytes) -> Delivery | None:
        if not line:
            return None
        try:
            content = json.loads(line)
        except ValueError:
            self.torn += 1
            return None
        content["body"] = base64.b64decode(content["body"])
        return Delivery(**content)
