"""Serialised requests with the scores expected for them, kept in a file between processes."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Messages:
    """What a contender is sent, in turn.

    Attributes:
        data: serialised requests.
        expected: scores by message and row; empty where they are not known yet.
    """

    data: Sequence[bytes]
    expected: Sequence[Sequence[float]] = ()

    def write(self, path: Path) -> None:
        """Writes them all."""
        encoded = [base64.b64encode(message).decode() for message in self.data]
        path.write_text(json.dumps({"messages": encoded, "expected": self.expected}))

    @classmethod
    def read(cls, path: Path) -> Messages:
        """Returns what was written."""
        content = json.loads(path.read_text())
        return cls([base64.b64decode(text) for text in content["messages"]], content["expected"])
