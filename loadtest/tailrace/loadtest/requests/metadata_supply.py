"""Where the metadata of calls comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.requests.json_text import parse_json
from tailrace.loadtest.requests.metadata import checked_name, checked_value, read_metadata
from tailrace.loadtest.requests.request import Metadata
from tailrace.loadtest.requests.skeleton import has_mark, segments, skeleton
from tailrace.loadtest.requests.template.call_data import CallData
from tailrace.loadtest.requests.template.template import Template
from tailrace.loadtest.requests.template.values import show
from tailrace.loadtest.requests.templated_message import filled


class MetadataSupply(Protocol):
    """The metadata that was given.

    Attributes:
        varies: True if each call has its own; then the call's data is asked for.
        count: how many there are, where they do not vary.
    """

    varies: bool
    count: int

    def of(self, number: int, data: CallData) -> Metadata:
        """Returns the metadata of a call: what was given is taken in turn."""


class FixedMetadata:
    """The same metadata for all calls, or several in turn."""

    varies = False

    def __init__(self, metadata: Sequence[Metadata]) -> None:
        """Takes at least one."""
        self._metadata = metadata
        self.count = len(metadata)

    def of(self, number: int, data: CallData) -> Metadata:
        """Returns the metadata of a call: see `MetadataSupply`."""
        return self._metadata[number % self.count]


class _Long(Exception):
    """Values that have to be read as JSON."""


class TemplatedMetadata:
    """Metadata from a template. Where its names are fixed, only values are made anew."""

    varies = True
    count = 1

    def __init__(self, template: Template, place: str) -> None:
        """Takes a template that gives an object of JSON, or an array of them.

        Args:
            template: as it was read.
            place: where it comes from, for errors.

        Raises:
            LoadError: gRPC does not allow a name in it.
        """
        self._parts = template.parts
        self._values = [hole.value for hole in template.holes]
        self._place = place
        self._objects = self._fixed_names()

    def of(self, number: int, data: CallData) -> Metadata:
        """Returns the metadata of a call: see `MetadataSupply`."""
        values = [value(data) for value in self._values]
        if self._objects is not None:
            pairs = self._objects[number % len(self._objects)]
            try:
                return tuple([(name, value(values)) for name, value in pairs])
            except _Long:
                pass
        place = f"{self._place} as filled for call {data.number}"
        read = read_metadata(parse_json(filled(self._parts, values), place), place)
        return read[number % len(read)]

    def _fixed_names(self) -> list[list[tuple[str, Callable[[Sequence[Any]], str | bytes]]]] | None:
        """Returns for each object its names, and what makes their values of the holes' values."""
        found = skeleton(self._parts)
        if found is None or found.bare:
            return None
        objects = []
        for item in found.value if isinstance(found.value, list) else [found.value]:
            if not isinstance(item, dict) or any(map(has_mark, item)):
                return None
            pairs = []
            for name, value in item.items():
                if not isinstance(value, str):
                    return None
                pairs.append((checked_name(name, self._place), self._value(name.lower(), value)))
            objects.append(pairs)
        return objects or None

    def _value(self, name: str, marked: str) -> Callable[[Sequence[Any]], str | bytes]:
        if not has_mark(marked):
            fixed = checked_value(name, marked, self._place)
            return lambda values: fixed
        found = segments(marked)
        binary = name.endswith("-bin")

        def value(values: Sequence[Any]) -> str | bytes:
            text = "".join([one if isinstance(one, str) else show(values[one]) for one in found])
            if not text.isascii() or not text.isprintable() or '"' in text or "\\" in text:
                raise _Long
            return checked_value(name, text, self._place) if binary else text

        return value


def metadata_supply(text: str, template: Template | None, place: str) -> MetadataSupply:
    """Returns the supply of metadata.

    Args:
        text: what was given; may be empty.
        template: the same, read as a template; None if it is none.
        place: where it comes from, for errors.

    Raises:
        LoadError: it is no metadata.
    """
    if not text.strip():
        return FixedMetadata([()])
    if template is not None:
        return TemplatedMetadata(template, place)
    return FixedMetadata(read_metadata(parse_json(text, place), place))


def reflection_metadata(text: str) -> Metadata:
    """Returns the metadata of the reflection call.

    Args:
        text: one object of JSON; may be empty.

    Raises:
        LoadError: it is no metadata.
    """
    place = "--reflect-metadata"
    if not text.strip():
        return ()
    read = read_metadata(parse_json(text, place), place)
    if len(read) != 1:
        raise LoadError(f"{place} is an array", "write it as one object")
    return read[0]
