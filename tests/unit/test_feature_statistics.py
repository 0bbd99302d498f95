"""Statistics gathered by a load, against numpy over all values at once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from tailrace.features.column_statistics import (
    FREQUENT,
    MAX_COUNTED,
    MAX_TEXT,
    SAMPLE,
    StatisticsCollector,
)
from tailrace.features.feature_statistics import (
    QUANTILES,
    FeatureStatistics,
    RowStatistics,
    ViewStatistics,
)
from tailrace.runtime.pipeline.feature_view import FeatureView


def gathered(feature: dict[str, Any], *batches: Any, present: Any = None) -> FeatureStatistics:
    """Returns the statistics of one feature over batches of values."""
    view = FeatureView.model_validate(
        {
            "view": "v",
            "entity": "e",
            "keys": [{"name": "id"}],
            "features": [{"name": "a"} | feature],
        }
    )
    collector = StatisticsCollector(view)
    for batch in batches:
        collector.add({"a": batch}, {} if present is None else {"a": present})
    (found,) = collector.results()
    return found


def test_numbers_are_those_of_numpy() -> None:
    random = np.random.default_rng(1)
    values = random.normal(5, 2, 250_000)
    values[::1000] = np.nan
    found = gathered({"type": "float64"}, *np.array_split(values, 31))
    kept = values[~np.isnan(values)]
    assert (found.rows, found.nulls, found.nans) == (250_000, 0, 250)
    assert (found.min, found.max) == (kept.min(), kept.max())
    assert found.mean == pytest.approx(kept.mean(), rel=1e-12)
    assert found.sampled == SAMPLE
    for text, value in found.quantiles.items():
        share = (kept <= value).mean()
        # Five standard deviations of the share in a uniform sample.
        quantile = float(text)
        assert abs(share - quantile) <= 5 * (quantile * (1 - quantile) / SAMPLE) ** 0.5
    assert list(found.quantiles) == [f"{quantile:g}" for quantile in QUANTILES]


def test_the_sample_holds_every_part_of_the_rows_alike() -> None:
    found = gathered({"type": "int64"}, *np.array_split(np.arange(1_000_000), 100))
    assert found.quantiles["0.5"] == pytest.approx(500_000, abs=8_000)
    assert found.quantiles["0.05"] == pytest.approx(50_000, abs=4_000)


def test_few_values_have_exact_quantiles_and_nulls_are_left_out() -> None:
    present = np.arange(101) % 2 == 0
    found = gathered({"type": "int64"}, np.arange(101), present=present)
    assert (found.rows, found.nulls, found.sampled) == (101, 50, 51)
    assert (found.min, found.max, found.mean) == (0, 100, 50)
    assert found.quantiles["0.5"] == 50
    assert found.null_rate == pytest.approx(50 / 101)


def test_infinities_are_extremes_and_have_no_part_in_the_mean() -> None:
    found = gathered({"type": "float32"}, np.array([1, np.inf, 3, -np.inf], np.float32))
    assert (found.min, found.max, found.mean) == (-np.inf, np.inf, 2.0)
    assert found.quantiles["0.99"] == np.inf
    assert found.quantiles["0.5"] == 1.0


def test_what_has_no_values_has_no_statistics() -> None:
    found = gathered({"type": "float64"}, np.array([np.nan, 0.0]), present=np.array([True, False]))
    assert (found.rows, found.nulls, found.nans) == (2, 1, 1)
    assert (found.min, found.max, found.mean, found.quantiles) == (None, None, None, {})


def test_booleans_are_zero_and_one() -> None:
    found = gathered({"type": "bool"}, np.array([True, False, True, True]))
    assert (found.min, found.max, found.mean) == (0, 1, 0.75)


def test_all_elements_of_vectors_count() -> None:
    found = gathered({"type": "float32", "length": 2}, np.array([[1, 2], [3, np.nan]], np.float32))
    assert (found.rows, found.nans, found.min, found.max, found.mean) == (2, 1, 1, 3, 2)
    assert found.quantiles == {}


def test_few_texts_are_counted_exactly() -> None:
    values = np.array(["b"] * 3 + ["a"] * 5 + ["c" * 200], object)
    found = gathered({"type": "string"}, values, values)
    assert (found.distinct, found.distinct_is_estimate) == (3, False)
    assert found.frequent == [("a", 10), ("b", 6), ("c" * MAX_TEXT, 2)]


def test_many_texts_are_estimated_in_bounded_memory() -> None:
    random = np.random.default_rng(2)
    rare = [f"rare-{number}" for number in range(200_000)]
    common = [f"common-{number % 5}" for number in range(100_000)]
    values = np.array(rare + common, object)
    random.shuffle(values)
    found = gathered({"type": "string"}, *np.array_split(values, 40))
    assert found.distinct_is_estimate
    # 1 / sqrt(1024) is one standard deviation.
    assert found.distinct == pytest.approx(200_005, rel=5 / 32)
    true = Counter(values.tolist())
    counts = dict(found.frequent)
    assert {f"common-{number}" for number in range(5)} <= set(counts)
    assert all(0 < count <= true[text] for text, count in counts.items())
    for number in range(5):
        assert true[f"common-{number}"] - counts[f"common-{number}"] <= len(values) / MAX_COUNTED
    assert len(found.frequent) <= FREQUENT


def test_categories_are_told_by_their_values() -> None:
    feature = {"type": "category", "values": ["x", "y", "z"]}
    found = gathered(feature, np.array([2, 0, 2, -1], np.int32))
    assert (found.distinct, found.frequent) == (2, [("z", 2), ("x", 1)])


def test_statistics_are_read_as_they_were_written() -> None:
    numbers = gathered({"type": "float64"}, np.array([1.0, np.inf]))
    texts = gathered({"type": "string"}, np.array(["ü"], object))
    full = RowStatistics(2, 17, "t.csv", [numbers, texts])
    for written in (
        ViewStatistics(3, full),
        ViewStatistics(3, full, full),
        ViewStatistics(3, None),
    ):
        assert ViewStatistics.from_json(written.to_json()) == written
    for broken in (b"", b"{}", b"[]", b"1", b'{"generation": 1, "full": 1, "increment": null}'):
        with pytest.raises(ValueError, match=r"."):
            ViewStatistics.from_json(broken)
