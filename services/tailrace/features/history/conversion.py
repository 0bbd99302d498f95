"""SQL that turns a file's column into a declared type: null where a value does not fit."""

from __future__ import annotations

import re

from tailrace.runtime.columns import DType

_INTEGER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?")
_REAL = re.compile(r"FLOAT|DOUBLE|DECIMAL.*")
_TEXT = re.compile(r"VARCHAR|ENUM.*")
_INSTANT = re.compile(r"TIMESTAMP.*|DATE")
_NULL = '"NULL"'

_WHOLE = r"'\s*[+-]?\d+\s*'"
_TRUE, _FALSE = "('true', 't', '1')", "('false', 'f', '0')"

SQL_TYPES = {
    DType.STRING: "VARCHAR",
    DType.INT64: "BIGINT",
    DType.FLOAT32: "DOUBLE",
    DType.FLOAT64: "DOUBLE",
    DType.BOOL: "BOOLEAN",
    DType.TIMESTAMP: "BIGINT",
}
"""How each type is held; instants as microseconds since 1970."""

EXPECTED = {
    DType.STRING: "text",
    DType.INT64: "integers",
    DType.FLOAT32: "numbers",
    DType.FLOAT64: "numbers",
    DType.BOOL: "booleans",
    DType.TIMESTAMP: "instants",
}
"""What a column of each type holds, in words."""


def conversion(column: str, source_type: str, dtype: DType, *, is_csv: bool) -> str | None:
    """Returns SQL for a column's values as `dtype`; None if the column cannot have any.

    Whole floats are integers, 0 and 1 are booleans, whole numbers are instants as microseconds
    since 1970, dates and instants without a zone are UTC. Text is converted in CSV files only,
    which know nothing else.

    Args:
        column: the column, as SQL writes it.
        source_type: its type, as DuckDB names it.
        dtype: the type wanted: a key of `SQL_TYPES`.
        is_csv: whether the column comes from a CSV file.
    """
    if source_type == _NULL:
        return f"CAST(NULL AS {SQL_TYPES[dtype]})"
    if _TEXT.fullmatch(source_type):
        if dtype is DType.STRING:
            return f"CAST({column} AS VARCHAR)"
        return _of_text(column, dtype) if is_csv else None
    is_integer = _INTEGER.fullmatch(source_type) is not None
    is_real = _REAL.fullmatch(source_type) is not None
    if dtype is DType.INT64 and is_integer:
        return f"TRY_CAST({column} AS BIGINT)"
    if dtype is DType.INT64 and is_real:
        return f"CASE WHEN {column} = trunc({column}) THEN TRY_CAST({column} AS BIGINT) END"
    if dtype in (DType.FLOAT32, DType.FLOAT64) and (is_integer or is_real):
        return f"CAST({column} AS DOUBLE)"
    if dtype is DType.BOOL and source_type == "BOOLEAN":
        return column
    if dtype is DType.BOOL and is_integer:
        return f"CASE {column} WHEN 0 THEN false WHEN 1 THEN true END"
    if dtype is DType.TIMESTAMP and _INSTANT.fullmatch(source_type):
        return f"TRY(epoch_us({column}))"
    if dtype is DType.TIMESTAMP and is_integer:
        return f"TRY_CAST({column} AS BIGINT)"
    return None


def _of_text(column: str, dtype: DType) -> str:
    if dtype is DType.INT64:
        # A plain cast would round 1.5.
        return (
            f"CASE WHEN regexp_full_match({column}, {_WHOLE}) THEN TRY_CAST({column} AS BIGINT) END"
        )
    if dtype is DType.BOOL:
        word = f"lower({column})"
        return f"CASE WHEN {word} IN {_TRUE} THEN true WHEN {word} IN {_FALSE} THEN false END"
    if dtype is DType.TIMESTAMP:
        return f"TRY(epoch_us(TRY_CAST({column} AS TIMESTAMPTZ)))"
    return f"TRY_CAST({column} AS DOUBLE)"
