"""Sets fields of messages from JSON where that is simple, and says where it is not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tailrace.loadtest.requests.field_converters import Unusual, converter_of

WELL_KNOWN = "google.protobuf."
_SIMPLE_TIMES = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})

Setter = Callable[[Any, Any], None]


class MessagePlan:
    """How fields of one type of message are set, by their names in JSON."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._setters: dict[str, Setter] = {}
        # Fields that go by two names, of which only one may be there.
        self._doubles: list[tuple[str, str]] = []
        self._special = descriptor.full_name.startswith(WELL_KNOWN)
        for field in descriptor.fields:
            setter = setter_of(field)
            self._setters[field.name] = setter
            self._setters[field.json_name] = setter
            if field.name != field.json_name:
                self._doubles.append((field.name, field.json_name))

    def fill(self, message: Message, value: Any) -> None:
        """Sets a message's fields.

        Args:
            message: an empty message.
            value: an object of JSON.

        Raises:
            Unusual: part of it is not simple; the message is then half filled.
        """
        if type(value) is not dict or self._special:
            raise Unusual
        setters = self._setters
        try:
            for name, item in value.items():
                setters[name](message, item)
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
            raise Unusual from None
        for name, json_name in self._doubles:
            if name in value and json_name in value:
                raise Unusual


@cache
def plan_of(descriptor: Descriptor) -> MessagePlan:
    """Returns the plan of a type of message, made once."""
    return MessagePlan(descriptor)


def setter_of(field: FieldDescriptor) -> Setter:
    """Returns what sets a field of a message; null leaves it as it is."""
    if field.is_extension or field.type == FieldDescriptor.TYPE_GROUP:
        return _unusual
    if field.is_repeated:
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            return _map_setter(field)
        return _list_setter(field)
    if field.message_type is not None:
        return _message_setter(field)
    return _scalar_setter(field)


def _unusual(message: Any, value: Any) -> None:
    raise Unusual


def _scalar_setter(field: FieldDescriptor) -> Setter:
    name = field.name
    convert = converter_of(field)
    choice = _choice(field)
    if convert is None:
        return _unusual

    def set_scalar(message: Any, value: Any) -> None:
        if value is None:
            return _null(field)
        if choice and message.WhichOneof(choice) is not None:
            raise Unusual
        setattr(message, name, convert(value))

    return set_scalar


def _null(field: FieldDescriptor) -> None:
    # For google.protobuf.NullValue, null is the value.
    if field.enum_type is not None:
        raise Unusual


def _choice(field: FieldDescriptor) -> str:
    """Returns the name of the oneof that a field is in, of which one field may be there."""
    oneof = field.containing_oneof
    return oneof.name if oneof is not None and len(oneof.fields) > 1 else ""


def _message_setter(field: FieldDescriptor) -> Setter:
    name = field.name
    choice = _choice(field)
    kind = field.message_type
    assert kind is not None
    if kind.full_name in _SIMPLE_TIMES:

        def set_time(message: Any, value: Any) -> None:
            if choice or type(value) is not str:
                raise Unusual
            getattr(message, name).FromJsonString(value)

        return set_time
    if kind.full_name.startswith(WELL_KNOWN):
        return _unusual

    def set_message(message: Any, value: Any) -> None:
        if value is None:
            return
        if choice and message.WhichOneof(choice) is not None:
            raise Unusual
        inner = getattr(message, name)
        inner.SetInParent()
        plan_of(kind).fill(inner, value)

    return set_message


def _list_setter(field: FieldDescriptor) -> Setter:
    name = field.name
    convert = converter_of(field)
    kind = field.message_type

    def set_scalars(message: Any, value: Any) -> None:
        if type(value) is not list:
            raise Unusual
        assert convert is not None
        getattr(message, name).extend(map(convert, value))

    def set_messages(message: Any, value: Any) -> None:
        if type(value) is not list:
            raise Unusual
        items = getattr(message, name)
        plan = plan_of(kind)
        for item in value:
            plan.fill(items.add(), item)

    if kind is None:
        return set_scalars if convert is not None else _unusual
    return _unusual if kind.full_name.startswith(WELL_KNOWN) else set_messages


def _map_setter(field: FieldDescriptor) -> Setter:
    name = field.name
    assert field.message_type is not None
    of_key, of_value = field.message_type.fields
    if of_key.type != FieldDescriptor.TYPE_STRING:
        return _unusual
    convert = converter_of(of_value)
    kind = of_value.message_type

    def set_scalars(message: Any, value: Any) -> None:
        if type(value) is not dict:
            raise Unusual
        assert convert is not None
        items = getattr(message, name)
        for key, item in value.items():
            items[key] = convert(item)

    def set_messages(message: Any, value: Any) -> None:
        if type(value) is not dict:
            raise Unusual
        items = getattr(message, name)
        plan = plan_of(kind)
        for key, item in value.items():
            plan.fill(items[key], item)

    if kind is None:
        return set_scalars if convert is not None else _unusual
    return _unusual if kind.full_name.startswith(WELL_KNOWN) else set_messages
