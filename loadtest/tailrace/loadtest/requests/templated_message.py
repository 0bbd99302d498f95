"""One message that a template gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.field_converters import Unusual
from tailrace.loadtest.requests.hole_setters import HoleFields
from tailrace.loadtest.requests.json_text import parse_json
from tailrace.loadtest.requests.message_encoder import MessageEncoder
from tailrace.loadtest.requests.skeleton import Part, skeleton
from tailrace.loadtest.requests.template.call_data import CallData
from tailrace.loadtest.requests.template.template import Hole
from tailrace.loadtest.requests.template.values import show


class TemplatedMessage:
    """A message of which each call has its own.

    Where holes are values of fields, one message is kept, and only these fields are set anew.
    Everything else is filled as text, read as JSON, and encoded.
    """

    def __init__(self, parts: Sequence[Part], encoder: MessageEncoder, place: str) -> None:
        """Looks at a template that gives an object of JSON.

        Args:
            parts: the template's.
            encoder: for what is no simple value.
            place: where the template comes from, for errors.
        """
        self._parts = parts
        self._holes = [part for part in parts if isinstance(part, Hole)]
        self._values = [hole.value for hole in self._holes]
        self._encoder = encoder
        self._place = place
        self._setters = None
        fixed = skeleton(parts)
        if fixed is None:
            return
        try:
            fields = HoleFields(fixed, self._holes, encoder.descriptor)
            self._message = encoder.message(fields.neutral, place)
        except (Unusual, LoadError):
            return
        self._setters = fields.bind(self._message)

    def fill(self, data: CallData) -> bytes:
        """Returns the serialised message of a call.

        Raises:
            LoadError: what the template gives is no such message.
            TemplateError: a function is given what it cannot take.
        """
        values = [value(data) for value in self._values]
        if self._setters is not None:
            try:
                for put in self._setters:
                    put(values)
                return self._message.SerializeToString()
            except (Unusual, ValueError, LookupError, TypeError, OverflowError):
                pass
        place = f"{self._place} as filled for call {data.number}"
        return self._encoder.encode(parse_json(filled(self._parts, values), place), place)


def filled(parts: Sequence[Part], values: Sequence[Any]) -> str:
    """Returns a template's text.

    Args:
        parts: the template's.
        values: those of its holes, in order.
    """
    following = iter(values)
    return "".join(part if isinstance(part, str) else show(next(following)) for part in parts)
