"""Messages that templates give."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.json_text import parse_json
from tailrace.loadtest.requests.message_encoder import MessageEncoder
from tailrace.loadtest.requests.skeleton import Part, in_string
from tailrace.loadtest.requests.template.call_data import CallData
from tailrace.loadtest.requests.template.template import Hole, Template
from tailrace.loadtest.requests.templated_message import TemplatedMessage

_SIGN = re.compile(r'\\.|["\[\]{},]', re.DOTALL)


class TemplatedMessages:
    """Messages of which each is filled for itself."""

    varies = True

    def __init__(self, messages: Sequence[TemplatedMessage]) -> None:
        """Takes messages: at least one."""
        self._messages = messages
        self.count = len(messages)

    def one(self, number: int, data: CallData) -> bytes:
        """Returns the message of a call: see `MessageSupply`."""
        return self._messages[number % self.count].fill(data)

    def all(self, data: CallData) -> tuple[bytes, ...]:
        """Returns all messages: see `MessageSupply`."""
        return tuple(message.fill(data) for message in self._messages)


class TemplatedDocument:
    """Messages that are known only once all of a template is filled."""

    varies = True
    count = 1

    def __init__(self, template: Template, encoder: MessageEncoder, place: str) -> None:
        """Takes a template that gives an object of JSON, or an array of them."""
        self._template = template
        self._encoder = encoder
        self._place = place

    def one(self, number: int, data: CallData) -> bytes:
        """Returns the message of a call: see `MessageSupply`."""
        values, place = self._values(data)
        return self._encoder.encode(values[number % len(values)], place)

    def all(self, data: CallData) -> tuple[bytes, ...]:
        """Returns all messages: see `MessageSupply`."""
        values, place = self._values(data)
        return tuple(self._encoder.encode(value, place) for value in values)

    def _values(self, data: CallData) -> tuple[list[object], str]:
        place = f"{self._place} as filled for call {data.number}"
        value = parse_json(self._template.fill(data), place)
        if not isinstance(value, list):
            return [value], place
        if not value:
            raise LoadError(f"{place} has no messages", "[{}] is one that is empty")
        return value, place


def templated_messages(
    template: Template, encoder: MessageEncoder, place: str
) -> TemplatedMessages | TemplatedDocument:
    """Returns the supply of what a template gives.

    Args:
        template: it gives an object of JSON, or an array of them.
        encoder: of the messages.
        place: where it comes from, for errors.
    """
    first = next((part for part in template.parts if isinstance(part, str)), "").lstrip()
    if first.startswith("{") and not any(_breaks_up(template.parts)):
        return TemplatedMessages([TemplatedMessage(template.parts, encoder, place)])
    elements = _elements(template.parts) if first.startswith("[") else None
    if not elements:
        return TemplatedDocument(template, encoder, place)
    return TemplatedMessages(
        [
            TemplatedMessage(element, encoder, f"message {number} of {place}")
            for number, element in enumerate(elements, start=1)
        ]
    )


def _breaks_up(parts: Sequence[Part]) -> list[bool]:
    """Returns which holes may be more than a value: blocks outside of strings."""
    inside = False
    found = []
    for part in parts:
        if isinstance(part, Hole):
            found.append(part.block and not inside)
        else:
            inside = in_string(part, inside)
    return found


def _elements(parts: Sequence[Part]) -> list[list[Part]] | None:
    """Returns the parts of each element of an array; None if they cannot be told beforehand."""
    if any(_breaks_up(parts)):
        return None
    elements: list[list[Part]] = []
    before: list[Part] = []
    depth = 0
    inside = False
    for part in parts:
        if isinstance(part, Hole):
            if depth == 0 and not (part.silent and not elements):
                return None
            if depth and part.silent:
                # What one element sets, another may show.
                return None
            (elements[-1] if depth else before).append(part)
            continue
        begin = 0
        for sign in _SIGN.finditer(part):
            mark = sign[0]
            if mark == '"':
                inside = not inside
            elif inside or len(mark) > 1:
                continue
            elif mark in "[{":
                depth += 1
                if depth == 1:
                    if elements or part[begin : sign.start()].strip():
                        return None
                    elements.append([*before])
                    begin = sign.end()
            elif mark in "]}":
                depth -= 1
                if depth == 0:
                    elements[-1].append(part[begin : sign.start()])
                    begin = sign.end()
            elif depth == 1:
                elements[-1].append(part[begin : sign.start()])
                elements.append([*before])
                begin = sign.end()
        if depth:
            elements[-1].append(part[begin:])
        elif part[begin:].strip():
            return None
    whole = all(_is_object(element) for element in elements)
    return elements if whole and not depth and not inside else None


def _is_object(element: Sequence[Part]) -> bool:
    first = next((part for part in element if isinstance(part, str) and part.strip()), "")
    return first.lstrip().startswith("{")
