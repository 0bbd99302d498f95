"""Keys: one text per entity, and no text for two."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailrace.features.entity_key import KeyEncoder
from tailrace.runtime.columns import Array
from tailrace.runtime.pipeline.feature_view import EntityKey

HOUR_US = 3_600_000_000


def keys(*parts: dict[str, Any]) -> list[EntityKey]:
    return [EntityKey.model_validate({"name": f"k{i}", **part}) for i, part in enumerate(parts)]


def strings(*values: str) -> Array:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def test_each_type_has_its_text() -> None:
    encoder = KeyEncoder(
        keys({"type": "string"}, {"type": "int64"}, {"type": "bool"}, {"type": "timestamp"})
    )
    columns = [strings("a", "é"), np.array([-5, 7]), np.array([True, False]), np.array([9, -9])]
    assert encoder.encode(columns) == ["a|-5|1|9", "é|7|0|-9"]


def test_instants_are_floored_to_the_granularity_even_before_1970() -> None:
    encoder = KeyEncoder(keys({"type": "timestamp", "granularity": "1h"}))
    instants = np.array([0, 1, HOUR_US - 1, HOUR_US, -1])
    assert encoder.encode([instants]) == ["0", "0", "0", str(HOUR_US), str(-HOUR_US)]


def test_a_single_string_is_its_own_key() -> None:
    assert KeyEncoder(keys({})).encode([strings("a|b\\", "")]) == ["a|b\\", ""]


texts = st.text(alphabet=st.sampled_from("ab|\\:"), max_size=6)


@given(st.lists(st.tuples(texts, texts, texts), min_size=2, max_size=8, unique=True))
def test_different_composite_keys_have_different_texts(rows: list[tuple[str, str, str]]) -> None:
    columns = [strings(*column) for column in zip(*rows, strict=True)]
    encoded = KeyEncoder(keys({}, {}, {})).encode(columns)
    assert len(set(encoded)) == len(rows)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=8))
def test_a_key_does_not_depend_on_the_rows_beside_it(rows: list[tuple[str, str]]) -> None:
    encoder = KeyEncoder(keys({}, {}))
    together = encoder.encode([strings(*column) for column in zip(*rows, strict=True)])
    alone = [encoder.encode([strings(a), strings(b)])[0] for a, b in rows]
    assert together == alone
