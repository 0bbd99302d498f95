"""Which types the models of a pipeline file allow at a place in it."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

# What tells the members of a union apart.
_TAG_KEYS = ("type", "step")


def inside(members: Sequence[Any], part: object) -> tuple[Any, ...]:
    """Returns the types that may stand at `part` of a value.

    Args:
        members: the types that the value may have.
        part: a name, a place in a list, or what pydantic calls a member of a union.
    """
    return tuple(inner for member in members for inner in _inside(member, part))


def with_tag(members: Sequence[Any], tag: object) -> tuple[Any, ...]:
    """Returns the members of a union that a tag, such as `vocabulary`, chooses; none if no tag."""
    if len(members) < 2:
        return ()
    return tuple(
        member for member in members if any(tag in tags_of(member, key) for key in _TAG_KEYS)
    )


def tags_of(member: Any, key: str) -> tuple[str, ...]:
    """Returns the values of `key`, such as `step`, that choose a type; none if it has no such."""
    info = getattr(member, "model_fields", {}).get(key)
    if info is None or get_origin(info.annotation) is not Literal:
        return ()
    return get_args(info.annotation)


def _inside(member: Any, part: object) -> Iterator[Any]:
    arguments = get_args(member)
    if get_origin(member) in (list, tuple):
        yield from _members(arguments[0]) if isinstance(part, int) else [member]
    elif get_origin(member) is dict:
        yield from _members(arguments[1])
    elif isinstance(member, type) and issubclass(member, BaseModel):
        info = next(
            (info for name, info in member.model_fields.items() if part == (info.alias or name)),
            None,
        )
        if info is not None:
            yield from _members(info.annotation)
        elif member.__name__ == part:
            yield member


def _members(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for argument in get_args(annotation):
            yield from _members(argument)
    else:
        yield annotation
