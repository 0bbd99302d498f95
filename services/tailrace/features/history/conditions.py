"""The conditions of aggregates as SQL, and what of an event goes into them."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.features.history.engine import literal
from tailrace.features.history.event_table import field_column
from tailrace.runtime.pipeline.aggregate import Condition
from tailrace.runtime.pipeline.event_type import EventType

_COMPARISONS = {
    "equals": "=",
    "not_equals": "<>",
    "at_least": ">=",
    "at_most": "<=",
    "above": ">",
    "below": "<",
}


def condition_sql(condition: Condition) -> str:
    """Returns SQL that is true where a condition holds; an absent field does not meet it."""
    column = field_column(condition.field)
    ((test, operand),) = condition.tests().items()
    if test == "one_of":
        said = f"{column} IN ({', '.join(map(literal, operand))})"
    else:
        said = f"{column} {_COMPARISONS[test]} {literal(operand)}"
    return f"coalesce({said}, false)"


def number_sql(of: str | None, where: Sequence[Condition], event: EventType) -> str:
    """Returns SQL for the float64 that an event adds to an aggregate, null for none.

    Text counts only as being there.
    """
    if of is None:
        value = "1.0"
    elif event.fields[of].type == "string":
        value = f"CASE WHEN {field_column(of)} IS NOT NULL THEN 1.0 END"
    elif event.fields[of].type == "bool":
        value = f"CAST(CAST({field_column(of)} AS TINYINT) AS DOUBLE)"
    else:
        value = field_column(of)
    return f"CAST({_guarded(value, where)} AS DOUBLE)"


def text_sql(of: str, where: Sequence[Condition]) -> str:
    """Returns SQL for the value whose kinds are counted, as text, null for none."""
    return _guarded(f"CAST({field_column(of)} AS VARCHAR)", where)


def _guarded(value: str, where: Sequence[Condition]) -> str:
    if not where:
        return value
    tests = " AND ".join(map(condition_sql, where))
    return f"CASE WHEN {tests} THEN {value} END"
