"""From the request section of a pipeline file to rules over columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from tailrace.ingest.field_rules import Failures, FieldRule, NumberRule, TextRule
from tailrace.ingest.list_rule import ListRule
from tailrace.runtime.pipeline.problem import Problem
from tailrace.runtime.pipeline.request_schema import (
    BytesField,
    DoubleField,
    Int64Field,
    RequestField,
    RequestSchema,
    StringField,
    TensorField,
    TimestampField,
)
from tailrace.runtime.timestamps import timestamp_us

_INT64 = np.iinfo(np.int64)


def schema_rules(schema: RequestSchema, problems: list[Problem]) -> tuple[FieldRule, ...]:
    """Returns one rule per field, in the order of the schema.

    Args:
        schema: the request section.
        problems: what is wrong with it is appended here: bounds out of order, and values that
            their own field would refuse.
    """
    rules = []
    for name, field in schema.fields.items():
        path = f"request.fields.{name}"
        found = _problems_before(path, field)
        if not found:
            rule = _rule(name, field)
            if field.list_items is not None:
                shape = (field.list_items,)
                rule = ListRule(name, rule.dtype, rule.required, shape=shape, item=rule)
            found = _problems_of_default(path, rule)
            rules.append(rule)
        problems.extend(found)
    return tuple(rules)


def _rule(name: str, field: RequestField) -> FieldRule:
    dtype, required = field.column_dtype, field.required
    if isinstance(field, StringField):
        allowed = None if field.allowed is None else frozenset(field.allowed)
        return TextRule(
            name, dtype, required, field.default, max_length=field.max_length, allowed=allowed
        )
    if isinstance(field, BytesField):
        return TextRule(name, dtype, required, max_length=field.max_length)
    if isinstance(field, TensorField):
        if dtype.is_floating:
            return NumberRule(name, dtype, required, shape=tuple(field.shape))
        return FieldRule(name, dtype, required, shape=tuple(field.shape))
    if isinstance(field, Int64Field | DoubleField | TimestampField):
        return NumberRule(
            name,
            dtype,
            required,
            _element(field.default),
            minimum=_element(field.minimum),
            maximum=_element(field.maximum),
            allowed=frozenset(field.allowed)
            if (isinstance(field, Int64Field) and field.allowed is not None)
            else None,
            bounds_text=_bounds_text(field),
        )
    return FieldRule(name, dtype, required, field.default)


def _element(value: Any) -> Any:
    return timestamp_us(value) if isinstance(value, datetime) else value


def _bounds_text(field: Int64Field | DoubleField | TimestampField) -> str:
    unit = f" {field.unit}" if field.unit else ""
    low, high = (_text(bound) for bound in (field.minimum, field.maximum))
    if low and high:
        return f"{low} to {high}{unit}"
    return f"at least {low}{unit}" if low else f"at most {high}{unit}"


def _text(bound: float | datetime | None) -> str:
    if bound is None:
        return ""
    return bound.isoformat() if isinstance(bound, datetime) else f"{bound:.15g}"


def _problems_before(path: str, field: RequestField) -> list[Problem]:
    if isinstance(field, Int64Field):
        numbers = [field.default, field.minimum, field.maximum, *(field.allowed or [])]
        beyond = [n for n in numbers if n is not None and not _INT64.min <= n <= _INT64.max]
        if beyond:
            return [Problem(path, str(beyond[0]), "a signed 64-bit integer")]
    if isinstance(field, DoubleField) and any(
        bound is not None and np.isnan(bound) for bound in (field.minimum, field.maximum)
    ):
        return [Problem(path, "a bound that is NaN", "a number")]
    if isinstance(field, Int64Field | DoubleField | TimestampField):
        low, high = _element(field.minimum), _element(field.maximum)
        if low is not None and high is not None and low > high:
            found = f"{_text(field.minimum)}, above maximum {_text(field.maximum)}"
            return [Problem(f"{path}.minimum", found, "a minimum at or below the maximum")]
    return []


def _problems_of_default(path: str, rule: FieldRule) -> list[Problem]:
    if rule.default is None:
        return []
    failures: Failures = {}
    rule.column(np.array([rule.default], dtype=rule.dtype.numpy), (), failures)
    if not failures:
        return []
    _, _, message = failures[0].message.partition(": ")
    found, _, expected = message.partition(", expected ")
    return [Problem(f"{path}.default", found.removeprefix("found "), expected)]
