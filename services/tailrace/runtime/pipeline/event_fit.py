"""Checks that a windowed view and the type of its events fit together."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from tailrace.runtime.pipeline.event_type import EventField, EventType
from tailrace.runtime.pipeline.feature_view import Feature, FeatureView
from tailrace.runtime.pipeline.problem import Problem, nearest

_MOST = {"int64": 2.0**53, "double": sys.float_info.max}
"""The greatest numbers that a field of an event can hold."""

_NUMERIC = ("int64", "double", "bool", "timestamp")
_COUNTABLE = ("string", "int64", "bool")


def event_problems(view: FeatureView, types: Mapping[str, EventType]) -> list[Problem]:
    """Returns what of a windowed view its events cannot give; nothing for other views."""
    if view.kind != "windowed":
        return []
    source = view.events
    event = types.get(source.event)
    if event is None:
        known = ", ".join(sorted(types)) or "none could be loaded"
        found = f"the unknown event type {source.event!r}"
        suggestion = nearest(source.event, types)
        return [Problem("source.event", found, f"one of: {known}", suggestion)]
    problems: list[Problem] = []
    for place, key in enumerate(view.keys):
        name = source.keys.get(key.name, key.name)
        path = f"source.keys.{key.name}" if key.name in source.keys else f"keys[{place}].name"
        field = event.fields.get(name)
        if field is None:
            problems.append(_unknown_field(path, name, event))
        elif field.dtype is not key.dtype:
            expected = f"a field of type {key.type}"
            problems.append(Problem(path, f"{name!r} of type {field.type}", expected))
        elif not field.required:
            problems.append(Problem(path, f"{name!r}, which may be absent", "a required field"))
    for place, feature in enumerate(view.features):
        problems += _feature_problems(f"features[{place}].aggregate", feature, event)
    return problems


def _feature_problems(path: str, feature: Feature, event: EventType) -> Iterator[Problem]:
    aggregate = feature.aggregate
    assert aggregate is not None, "the view is windowed"
    for place, condition in enumerate(aggregate.where):
        if condition.field not in event.fields:
            yield _unknown_field(f"{path}.where[{place}].field", condition.field, event)
        else:
            yield from _misfit(f"{path}.where[{place}]", condition.tests(), event, condition.field)
    if aggregate.of is None:
        return
    field = event.fields.get(aggregate.of)
    if field is None:
        yield _unknown_field(f"{path}.of", aggregate.of, event)
        return
    allowed: tuple[str, ...] = _NUMERIC
    if aggregate.function == "distinct":
        allowed = _COUNTABLE
    elif aggregate.function == "count":
        allowed = (*_NUMERIC, "string")
    elif aggregate.function in ("sum", "mean", "stddev"):
        allowed = ("int64", "double", "bool")
    if field.type not in allowed:
        expected = f"a field of type {', '.join(allowed)} for a {aggregate.function}"
        yield Problem(f"{path}.of", f"{aggregate.of!r} of type {field.type}", expected)


def _misfit(
    path: str, tests: Mapping[str, object], event: EventType, name: str
) -> Iterator[Problem]:
    field = event.fields[name]
    for test, operand in tests.items():
        operands = operand if isinstance(operand, list) else [operand]
        for each in operands:
            if not _comparable(field, each):
                found = f"{each!r} for {name!r}"
                yield Problem(f"{path}.{test}", found, f"a value of type {field.type}")


def _comparable(field: EventField, operand: object) -> bool:
    if field.type == "string":
        return isinstance(operand, str)
    if field.type == "bool":
        return isinstance(operand, bool)
    if not isinstance(operand, int | float) or isinstance(operand, bool):
        return False
    # What no field can hold is compared differently by what reads it.
    return field.type in _MOST and abs(operand) <= _MOST[field.type]


def _unknown_field(path: str, name: str, event: EventType) -> Problem:
    known = ", ".join(event.fields)
    found = f"the unknown field {name!r}"
    expected = f"a field of event type {event.event!r}: {known}"
    return Problem(path, found, expected, nearest(name, event.fields))
