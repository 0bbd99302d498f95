"""Python values cross to the wire and back without loss."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.client.errors import InvalidRequest
from tailrace.client.tensor import Tensor
from tailrace.client.values import INT64_MAX, INT64_MIN, from_value, to_value
from tailrace.v1.tensor_pb2 import Value

ZONES = st.timezones() | st.just(UTC)
TENSORS = st.lists(st.integers(INT64_MIN, INT64_MAX)).map(lambda v: Tensor.of(v, "int64"))
VALUES = st.one_of(
    st.none(),
    st.text(),
    st.integers(INT64_MIN, INT64_MAX),
    st.floats(allow_nan=False),
    st.booleans(),
    st.binary(),
    # Not in any zone: in the hour when clocks are set, an instant equals none of another zone.
    st.datetimes(timezones=st.just(UTC)),
    TENSORS,
)


class Colour(str, enum.Enum):  # noqa: UP042  # its str() is not its text
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


def sent(value: Any) -> Value:
    """The value as a server receives it."""
    return Value.FromString(to_value(value, "field").SerializeToString())


def refused(value: Any) -> InvalidRequest:
    """The error of a value that cannot be sent."""
    with pytest.raises(InvalidRequest) as caught:
        to_value(value, "distance")
    return caught.value


@given(VALUES)
def test_value_comes_back_as_it_was(value: Any) -> None:
    back = from_value(sent(value))

    assert back == value
    assert type(back) is type(value)


@given(st.datetimes(timezones=ZONES))
def test_instant_comes_back_in_utc_to_the_microsecond(instant: datetime) -> None:
    back = from_value(sent(instant))

    assert isinstance(back, datetime)
    assert back.tzinfo is UTC
    assert back - instant == timedelta(0)


@pytest.mark.parametrize("value", [datetime(1970, 1, 1, tzinfo=UTC), 0, 0.0, False, "", b""])
def test_value_that_is_all_zeros_is_not_null(value: Any) -> None:
    assert from_value(sent(value)) == value


def test_nan_comes_back_as_nan() -> None:
    back = from_value(sent(float("nan")))

    assert isinstance(back, float) and back != back


def test_bool_is_no_integer() -> None:
    assert sent(True).WhichOneof("kind") == "bool_value"
    assert sent(1).WhichOneof("kind") == "int64_value"
    assert sent(1.0).WhichOneof("kind") == "double_value"


def test_none_is_null() -> None:
    assert sent(None).WhichOneof("kind") is None


def test_instant_is_cut_off_at_the_microsecond() -> None:
    value = Value()
    value.timestamp_value.nanos = 1_999

    assert from_value(value) == datetime(1970, 1, 1, 0, 0, 0, 1, UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Size.LARGE, 3),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (np.float32(0.1), 0.10000000149011612),
        (np.float64(0.1), 0.1),
        (np.int8(-3), -3),
        (np.uint64(7), 7),
        (np.bool_(True), True),
        (np.str_("JFK"), "JFK"),
        (np.bytes_(b"ab"), b"ab"),
        (
            pd.Timestamp("2013-09-01T05:15:00.000001-04:00"),
            datetime(2013, 9, 1, 9, 15, 0, 1, UTC),
        ),
        (
            datetime(1969, 12, 31, 23, 59, 59, 999_999, timezone(timedelta(hours=-5))),
            datetime(1970, 1, 1, 4, 59, 59, 999_999, UTC),
        ),
    ],
)
def test_close_relatives_of_plain_values_are_taken(value: Any, expected: Any) -> None:
    back = from_value(sent(value))

    assert back == expected
    assert type(back) is type(expected)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (["a", "ü", ""], "string"),
        (("a",), "string"),
        ([Colour.RED], "string"),
        ([INT64_MIN, 0, INT64_MAX], "int64"),
        ((1, 2), "int64"),
        ([], "int64"),
    ],
)
def test_list_of_texts_or_of_integers_comes_back_as_a_tensor(value: Any, dtype: str) -> None:
    back = from_value(sent(value))

    assert isinstance(back, Tensor)
    assert (back.dtype, back.shape) == (dtype, (len(value),))
    assert back.tolist() == list(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.arange(6, dtype=">f8").reshape(2, 3),
        np.arange(12, dtype=np.int16).reshape(3, 4)[::2, ::-1],
        np.array([True, False]),
        np.array(2.5),
        np.empty((0, 3), dtype=np.uint8),
        np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3)),
        np.array([["a", "ü"], ["", "ccc"]]),
        np.array([b"a", b"\xff"], dtype=object),
    ],
)
def test_array_comes_back_as_a_tensor_of_the_same_elements(array: np.ndarray[Any, Any]) -> None:
    back = from_value(sent(array))

    assert isinstance(back, Tensor)
    assert back.shape == array.shape
    assert back.tolist() == array.tolist()
    np.testing.assert_array_equal(back.numpy(), array)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2**63, "9223372036854775808 does not fit a signed 64-bit integer"),
        (-(2**63) - 1, "does not fit a signed 64-bit integer"),
        (np.uint64(2**64 - 1), "does not fit a signed 64-bit integer"),
        (datetime(2013, 9, 1), "without an offset"),
        (pd.Timestamp(1, unit="ns", tz="UTC"), "finer than a microsecond"),
        (date(2013, 9, 1), "datetime.date"),
        ([1.0, 2.0], "Tensor.of"),
        ((1, "2"), "Tensor.of"),
        ([True, False], "Tensor.of"),
        ([2**63], "does not fit int64"),
        (["half \ud800"], "not valid Unicode"),
        ({"a": 1}, "builtins.dict"),
        (Decimal("1.5"), "decimal.Decimal"),
        (uuid.UUID(int=0), "uuid.UUID"),
        (object(), "builtins.object"),
        ("half \ud800", "not valid Unicode"),
        (1j, "builtins.complex"),
        (np.longdouble(1) / 3, "a numpy"),
        (np.datetime64("2013-09-01"), "a numpy datetime64"),
        (np.array(["2013-09-01"], dtype="datetime64[us]"), "datetime64"),
        (np.array([1j]), "complex128"),
        (np.array(["a", 1], dtype=object), "dtype object"),
    ],
)
def test_anything_else_is_refused_with_the_name_of_its_field(value: Any, said: str) -> None:
    error = refused(value)

    assert error.field == "fields.distance"
    assert error.reason == "INVALID_FIELD"
    assert said in error.message


@pytest.mark.parametrize("make", [from_value])
def test_tensor_of_an_unknown_type_is_an_error(make: Callable[[Value], object]) -> None:
    value = Value()
    value.tensor_value.dtype = 99  # type: ignore[assignment]  # a later version's

    with pytest.raises(ValueError, match="unknown dtype number 99"):
        make(value)
