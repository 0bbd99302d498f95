"""Where a page of a listing ended, as text for the caller to hand back."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from tailrace.runtime.errors import InvalidField

# Of the last place, both parts or none.
_TOKEN = re.compile(r"([0-9]{1,3}) (?:([0-9]{1,16}) ([0-9A-Z-]{1,30})| )")


@dataclass(frozen=True, slots=True)
class Page:
    """The last place that a listing looked at; empty texts mean none yet in the partition."""

    partition: int = 0
    score: str = ""
    prediction_id: str = ""

    @property
    def token(self) -> str:
        """The page as text."""
        text = f"{self.partition} {self.score} {self.prediction_id}"
        return base64.urlsafe_b64encode(text.encode()).decode()


def read_page(token: str) -> Page:
    """Returns the page of a token; an empty one is the first. Raises InvalidField."""
    if not token:
        return Page()
    try:
        match = _TOKEN.fullmatch(base64.urlsafe_b64decode(token.encode()).decode())
    except (binascii.Error, UnicodeError):
        match = None
    if match is None:
        raise InvalidField("not a page token", field="page_token")
    return Page(int(match[1]), match[2] or "", match[3] or "")
