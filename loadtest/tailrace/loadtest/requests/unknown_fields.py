"""Finds names in JSON that a message does not have, to say which it has."""

from __future__ import annotations

from difflib import get_close_matches

from google.protobuf.descriptor import Descriptor

_TOLD_NAMES = 12


def unknown_field(value: object, descriptor: Descriptor, path: str = "") -> tuple[str, str] | None:
    """Returns what to say of the first name that is not known.

    Args:
        value: what is meant to be such a message.
        descriptor: the message's.
        path: where the value is, in the whole.

    Returns:
        What is wrong, and a hint; None if all names are known.
    """
    if not isinstance(value, dict):
        return None
    fields = {field.json_name: field for field in descriptor.fields}
    fields |= {field.name: field for field in descriptor.fields}
    for name, item in value.items():
        where = f"{path}.{name}" if path else str(name)
        if name not in fields:
            return f"{descriptor.name} has no field {where!r}", _instead(str(name), descriptor)
        kind = fields[name].message_type
        if kind is None or kind.full_name.startswith("google.protobuf."):
            continue
        found = _in_field(item, kind, where)
        if found is not None:
            return found
    return None


def _in_field(item: object, kind: Descriptor, where: str) -> tuple[str, str] | None:
    if isinstance(item, list):
        for place, part in enumerate(item):
            found = unknown_field(part, kind, f"{where}[{place}]")
            if found is not None:
                return found
        return None
    if kind.GetOptions().map_entry:
        of_value = kind.fields_by_name["value"].message_type
        if of_value is None or not isinstance(item, dict):
            return None
        for key, part in item.items():
            found = unknown_field(part, of_value, f"{where}[{key!r}]")
            if found is not None:
                return found
        return None
    return unknown_field(item, kind, where)


def _instead(name: str, descriptor: Descriptor) -> str:
    names = [str(field.name) for field in descriptor.fields]
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return "it has no fields"
    more = f" and {len(names) - _TOLD_NAMES} more" if len(names) > _TOLD_NAMES else ""
    return f"its fields: {', '.join(names[:_TOLD_NAMES])}{more}"
