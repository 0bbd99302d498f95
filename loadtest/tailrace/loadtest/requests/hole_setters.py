"""Finds the fields of a message that a template's holes fill, and sets only these."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tailrace.loadtest.requests.field_converters import Converter, Unusual, converter_of
from tailrace.loadtest.requests.field_setters import WELL_KNOWN
from tailrace.loadtest.requests.skeleton import Skeleton, has_mark, segments
from tailrace.loadtest.requests.template.template import Hole
from tailrace.loadtest.requests.template.values import show

# Sets a field from the values of all holes.
HoleSetter = Callable[[Sequence[Any]], None]
# Finds what holds a field in a message, and returns what sets it there.
_Binder = Callable[[Any], Callable[[Any], None]]

_NEUTRAL_TIMES = {
    "google.protobuf.Timestamp": "1970-01-01T00:00:00Z",
    "google.protobuf.Duration": "0s",
}


class HoleFields:
    """The fields of one message that holes fill.

    Attributes:
        neutral: the message's JSON, with values that change nothing in these fields.
    """

    def __init__(self, skeleton: Skeleton, holes: Sequence[Hole], descriptor: Descriptor) -> None:
        """Finds them.

        Raises:
            Unusual: a hole fills something else, such as a name, or a whole message.
        """
        self._bare = skeleton.bare
        self._holes = holes
        self._found: list[tuple[_Binder, Callable[[Sequence[Any]], Any]]] = []
        self.neutral = self._message(skeleton.value, descriptor, lambda message: message)

    def bind(self, message: Message) -> list[HoleSetter]:
        """Returns what sets the fields in a message that was made of `neutral`."""
        return [_setter(binder(message), value) for binder, value in self._found]

    def _message(self, value: Any, descriptor: Descriptor, holder: Callable[[Any], Any]) -> Any:
        if not isinstance(value, dict) or descriptor.full_name.startswith(WELL_KNOWN):
            return _without_marks(value)
        fields = {field.json_name: field for field in descriptor.fields}
        fields |= {field.name: field for field in descriptor.fields}
        neutral = {}
        for name, item in value.items():
            if name not in fields:
                raise Unusual
            neutral[name] = self._field(item, fields[name], holder)
        return neutral

    def _field(self, value: Any, field: FieldDescriptor, holder: Callable[[Any], Any]) -> Any:
        name = field.name
        if not field.is_repeated:
            return self._item(value, field, holder, lambda message: _attribute(message, name))
        entry = field.message_type

        def container(message: Any) -> Any:
            return getattr(holder(message), name)

        if entry is not None and entry.GetOptions().map_entry:
            of_value = entry.fields_by_name["value"]
            if not isinstance(value, dict) or any(map(has_mark, value)):
                return _without_marks(value)
            if entry.fields_by_name["key"].type != FieldDescriptor.TYPE_STRING:
                return _without_marks(value)
            return {
                key: self._item(item, of_value, container, _place(key), key=key)
                for key, item in value.items()
            }
        if not isinstance(value, list):
            return _without_marks(value)
        return [
            self._item(item, field, container, _place(at), key=at) for at, item in enumerate(value)
        ]

    def _item(
        self,
        value: Any,
        field: FieldDescriptor,
        holder: Callable[[Any], Any],
        setter: Callable[[Any], Callable[[Any], None]],
        key: int | str | None = None,
    ) -> Any:
        """Looks at one value; `holder` finds the message or container that it is in."""
        kind = field.message_type
        if has_mark(value):
            if kind is not None:
                return self._time(value, kind, _inner(holder, field.name, key))
            convert = converter_of(field)
            if convert is None:
                raise Unusual
            self._found.append(
                (lambda message: setter(holder(message)), self._value(value, convert))
            )
            return _neutral(field)
        if kind is None:
            return _without_marks(value)
        return self._message(value, kind, _inner(holder, field.name, key))

    def _time(self, value: str, kind: Descriptor, holder: Callable[[Any], Any]) -> str:
        if kind.full_name not in _NEUTRAL_TIMES:
            raise Unusual
        self._found.append(
            (lambda message: holder(message).FromJsonString, self._value(value, _text))
        )
        return _NEUTRAL_TIMES[kind.full_name]

    def _value(self, marked: str, convert: Converter) -> Callable[[Sequence[Any]], Any]:
        """Returns what makes a field's value of the holes' values."""
        found = segments(marked)
        if len(found) == 1 and isinstance(found[0], int):
            number = found[0]
            if number in self._bare:
                return lambda values: convert(_bare(values[number]))
            if self._holes[number].plain:
                return lambda values: convert(show(values[number]))
            return lambda values: convert(_quoted(values[number]))
        return lambda values: convert(
            "".join(one if isinstance(one, str) else _quoted(values[one]) for one in found)
        )


def _setter(put: Callable[[Any], None], value: Callable[[Sequence[Any]], Any]) -> HoleSetter:
    return lambda values: put(value(values))


def _attribute(message: Any, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(message, name, value)


def _place(key: int | str) -> Callable[[Any], Callable[[Any], None]]:
    def bind(container: Any) -> Callable[[Any], None]:
        def put(value: Any) -> None:
            container[key] = value

        return put

    return bind


def _inner(holder: Callable[[Any], Any], name: str, key: int | str | None) -> Callable[[Any], Any]:
    if key is None:
        return lambda message: getattr(holder(message), name)
    return lambda message: holder(message)[key]


def _neutral(field: FieldDescriptor) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return ""
        case FieldDescriptor.CPPTYPE_BOOL:
            return False
        case FieldDescriptor.CPPTYPE_ENUM:
            assert field.enum_type is not None
            return field.enum_type.values[0].number
        case _:
            return 0


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Unusual
    return value


def _quoted(value: Any) -> str:
    """Returns what a hole within a JSON string adds to it."""
    if type(value) is int:
        return str(value)
    text = show(value)
    # What JSON would read otherwise, or not at all, goes the long way.
    if '"' in text or "\\" in text or not text.isprintable():
        raise Unusual
    return text


def _bare(value: Any) -> Any:
    """Returns the value of JSON that a hole outside of strings is."""
    if type(value) is int or type(value) is bool:
        return value
    return json.loads(show(value))


def _without_marks(value: Any) -> Any:
    """Returns a value, unless there is a hole somewhere in it."""
    if has_mark(value):
        raise Unusual
    if isinstance(value, dict):
        for key, item in value.items():
            _without_marks(key)
            _without_marks(item)
    if isinstance(value, list):
        for item in value:
            _without_marks(item)
    return value
