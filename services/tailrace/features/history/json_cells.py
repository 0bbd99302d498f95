"""SQL for what the lines of an NDJSON file hold: null where a value is of another type.

Column names lead into `json`, the column of `lines`, by a JSON pointer (RFC 6901), so that they
may be any text.
"""

from __future__ import annotations

from tailrace.runtime.columns import DType

JSON_VALUE = "JSON value"
"""The type of a column of lines, as other columns have DuckDB's."""

BAD_LINE = "json IS NULL OR json_type(json) <> 'OBJECT'"
"""Whether a line is no JSON object."""

# Of a time of day: a date ends in digits after a minus, too.
_OFFSET = r"'[T ].*(Z|[+-]\d{2}(:?\d{2})?)$'"

_INTEGERS = ("BIGINT", "UBIGINT")
_NUMBERS = (*_INTEGERS, "DOUBLE")


def lines(file: str) -> str:
    """Returns the relation of a file's lines, blank ones left out; `file` as SQL writes it."""
    return f"read_json_objects({file}, format = 'newline_delimited', ignore_errors = true)"


def names(relation: str) -> str:
    """Returns the query for the names that any line has, in the column `name`."""
    return (
        "SELECT DISTINCT unnest(json_keys(json)) AS name "
        f"FROM {relation} WHERE NOT ({BAD_LINE}) ORDER BY name"
    )


def is_given(name: str) -> str:
    """Returns SQL for whether a line has a value of that name, and not null."""
    return f"coalesce(json_type(json, {_pointer(name)}) <> 'NULL', false)"


def json_cell(name: str, dtype: DType) -> str:
    """Returns SQL for a line's value as `dtype`; instants as microseconds since 1970.

    Numbers and texts are not converted into each other. An instant is a text with an offset:
    without one, it is not sent either.
    """
    if dtype is DType.STRING:
        return _of_types(name, "VARCHAR")
    if dtype is DType.INT64:
        return f"TRY_CAST({_of_types(name, *_INTEGERS)} AS BIGINT)"
    if dtype is DType.BOOL:
        return f"TRY_CAST({_of_types(name, 'BOOLEAN')} AS BOOLEAN)"
    if dtype is DType.TIMESTAMP:
        text = _of_types(name, "VARCHAR")
        instant = f"TRY(epoch_us(TRY_CAST({text} AS TIMESTAMPTZ)))"
        return f"CASE WHEN regexp_matches({text}, {_OFFSET}) THEN {instant} END"
    return f"TRY_CAST({_of_types(name, *_NUMBERS)} AS DOUBLE)"


def json_id(name: str) -> str:
    """Returns SQL for a text, or the digits of a whole number."""
    return _of_types(name, "VARCHAR", *_INTEGERS)


def _of_types(name: str, *types: str) -> str:
    listed = ", ".join(f"'{each}'" for each in types)
    pointer = _pointer(name)
    found = f"json_extract_string(json, {pointer})"
    return f"CASE WHEN json_type(json, {pointer}) IN ({listed}) THEN {found} END"


def _pointer(name: str) -> str:
    path = name.replace("~", "~0").replace("/", "~1").replace("'", "''")
    return f"'/{path}'"
