"""Statistics of features, gathered batch by batch in bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tailrace.features.feature_statistics import QUANTILES, FeatureStatistics
from tailrace.runtime.columns import Array, DType
from tailrace.runtime.pipeline.feature_view import Feature, FeatureView

SAMPLE = 100_000
"""Most values of a feature that its quantiles are taken of."""
MAX_SAMPLED = 10_000_000
"""Most values that are sampled of all features of a view together: 80 MB."""
MAX_COUNTED = 10_000
"""Different texts of a feature that are counted exactly; beyond them counts are bounds."""
FREQUENT = 20
"""Most frequent texts that are told."""
MAX_TEXT = 100
"""Longest text that is told, in characters."""
_SMALLEST_HASHES = 1024
_HASHES = 2.0**64


class StatisticsCollector:
    """Gathers the statistics of all features of a view."""

    def __init__(self, view: FeatureView) -> None:
        """Begins with nothing."""
        size = min(SAMPLE, MAX_SAMPLED // len(view.features))
        self._columns = {feature.name: _column(feature, size) for feature in view.features}

    def add(self, values: Mapping[str, Array], present: Mapping[str, NDArray[np.bool_]]) -> None:
        """Takes in rows.

        Args:
            values: by feature, each with the rows first.
            present: bool [rows] by feature, False where null; one left out has no nulls.
        """
        for name, column in self._columns.items():
            found, mask = values[name], present.get(name)
            column.result.rows += len(found)
            if mask is not None:
                column.result.nulls += len(found) - int(mask.sum())
                found = found[mask]
            if len(found):
                column.add(found)

    def results(self) -> list[FeatureStatistics]:
        """Returns what was gathered, in the order of the view."""
        for column in self._columns.values():
            column.finish()
        return [column.result for column in self._columns.values()]


class _Column(Protocol):
    """Statistics of one feature."""

    result: FeatureStatistics

    def add(self, values: Array) -> None:
        """Takes in values that are not null, at least one."""

    def finish(self) -> None:
        """Completes the result."""


class NumberColumn:
    """Numbers, or vectors of them."""

    def __init__(self, name: str, sample_size: int) -> None:
        """Begins with nothing; quantiles are of `sample_size` values, and not told for 0."""
        self.result = FeatureStatistics(name)
        self._sum = 0.0
        self._finite = 0
        self._size = sample_size
        self._seen = 0
        self._sample: Array | None = None
        # The same rows give the same sample.
        self._random = np.random.default_rng(0)

    def add(self, values: Array) -> None:
        """Takes in values [rows], or [rows, length], at least one."""
        result = self.result
        if values.dtype.kind == "f":
            nans = np.isnan(values)
            if nans.any():
                result.nans += int(nans.sum())
                values = values[~nans]
                if not values.size:
                    return
        elif values.dtype.kind == "b":
            values = values.view(np.uint8)
        least, greatest = float(values.min()), float(values.max())
        result.min = least if result.min is None else min(result.min, least)
        result.max = greatest if result.max is None else max(result.max, greatest)
        if self._size:
            self._draw(values)
        if math.isinf(least) or math.isinf(greatest):
            values = values[np.isfinite(values)]
        self._sum += float(values.sum(dtype=np.float64))
        self._finite += values.size

    def finish(self) -> None:
        """Works out mean and quantiles."""
        result = self.result
        result.mean = self._sum / self._finite if self._finite else None
        if self._sample is not None:
            sample = self._sample[: self._seen].astype(np.float64)
            # Values that occur, so that infinities do not make NaN of what lies between.
            found = np.quantile(sample, QUANTILES, method="inverted_cdf")
            texts = [f"{quantile:g}" for quantile in QUANTILES]
            result.quantiles = dict(zip(texts, found.tolist(), strict=True))
            result.sampled = len(sample)

    def _draw(self, values: Array) -> None:
        """Keeps each value with the same chance. Source: Vitter 1985, algorithm R."""
        if self._sample is None:
            self._sample = np.empty(self._size, values.dtype)
        free = max(0, self._size - self._seen)
        first = values[:free]
        self._sample[self._seen : self._seen + len(first)] = first
        rest = values[free:]
        if len(rest):
            order = self._seen + len(first) + np.arange(1, len(rest) + 1)
            places = (self._random.random(len(rest)) * order).astype(np.int64)
            chosen = places < self._size
            self._sample[places[chosen]] = rest[chosen]
        self._seen += len(values)


class TextColumn:
    """Texts, counted by a bounded number of counters. Source: Misra and Gries 1982.

    How many are different is exact up to `MAX_COUNTED`; beyond, it follows from the smallest of
    their hashes. Source: Bar-Yossef and others 2002, algorithm 1.
    """

    def __init__(self, name: str) -> None:
        """Begins with nothing."""
        self.result = FeatureStatistics(name)
        self._counts: Counter[str] = Counter()
        self._smallest: NDArray[np.uint64] = np.empty(0, np.uint64)

    def add(self, values: Array) -> None:
        """Takes in texts, at least one."""
        counts = self._counts
        before = len(counts)
        new = Counter(values.tolist())
        counts.update(new)
        if not self.result.distinct_is_estimate:
            if len(counts) <= MAX_COUNTED:
                return
            self.result.distinct_is_estimate = True
            self._remember(list(counts))
        elif len(counts) > before:
            self._remember(list(new))
        if len(counts) > MAX_COUNTED:
            # Takes from all what leaves so many, and forgets those that have nothing left.
            surplus = sorted(counts.values(), reverse=True)[MAX_COUNTED]
            kept = {text: count - surplus for text, count in counts.items() if count > surplus}
            self._counts = Counter(kept)

    def finish(self) -> None:
        """Works out the number of different texts, and the most frequent ones."""
        result = self.result
        result.distinct = len(self._counts)
        if result.distinct_is_estimate:
            kth = float(self._smallest[_SMALLEST_HASHES - 1]) / _HASHES
            result.distinct = round((_SMALLEST_HASHES - 1) / kth)
        common = self._counts.most_common(FREQUENT)
        result.frequent = [(text[:MAX_TEXT], count) for text, count in common]

    def _remember(self, texts: Sequence[str]) -> None:
        hashes = np.fromiter(map(hash, texts), np.int64, len(texts)).view(np.uint64)
        merged = np.union1d(self._smallest, hashes)
        self._smallest = merged[:_SMALLEST_HASHES]


class CategoryColumn:
    """Categories: places in the list of what they may be."""

    def __init__(self, name: str, values: Sequence[str]) -> None:
        """Begins with nothing."""
        self.result = FeatureStatistics(name)
        self._values = values
        self._counts = np.zeros(len(values), np.int64)

    def add(self, values: Array) -> None:
        """Takes in places, at least one; those of no value count for nothing."""
        known = values[(values >= 0) & (values < len(self._counts))]
        self._counts += np.bincount(known, minlength=len(self._counts))

    def finish(self) -> None:
        """Works out how many values occur, and the most frequent ones."""
        result = self.result
        result.distinct = int((self._counts > 0).sum())
        order = np.argsort(-self._counts, kind="stable")[:FREQUENT]
        result.frequent = [
            (self._values[place][:MAX_TEXT], int(self._counts[place]))
            for place in order.tolist()
            if self._counts[place]
        ]


def _column(feature: Feature, sample_size: int) -> _Column:
    if feature.type == "category":
        return CategoryColumn(feature.name, feature.values or [])
    if feature.dtype is DType.STRING:
        return TextColumn(feature.name)
    return NumberColumn(feature.name, sample_size if feature.length is None else 0)
