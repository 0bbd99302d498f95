"""What is known about the values of a static view: gathered by its load, stored beside its pointer.

Written in the same write as the pointer, so it is of the generation that the pointer names, and
goes with it. An incremental load does not look at the rows that it leaves as they are: what it
gathers of its own rows stands beside what the last full load gathered.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(slots=True)
class FeatureStatistics:
    """The values of one feature.

    Numbers, booleans (as 0 and 1) and instants (as microseconds since 1970) have `min`, `max`
    and `mean`, and unless they are vectors `quantiles`; of vectors all elements count. Texts and
    categories have `distinct` and `frequent`.

    Attributes:
        name: of the feature.
        rows: number of rows, those without a value included.
        nulls: rows without a value.
        nans: values that are not a number.
        min: smallest value, or None if there is none.
        max: largest value, or None if there is none.
        mean: of the finite values, or None if there is none.
        quantiles: the value at each of `QUANTILES`, of a uniform sample, NaN left out.
        sampled: number of values in that sample.
        distinct: number of different values.
        distinct_is_estimate: whether `distinct` is estimated, to some 3 %; else it is exact.
        frequent: the most frequent values and how often each occurs, most frequent first. Where
            `distinct` is an estimate these counts are lower bounds.
    """

    name: str
    rows: int = 0
    nulls: int = 0
    nans: int = 0
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    quantiles: dict[str, float] = field(default_factory=dict)
    sampled: int = 0
    distinct: int | None = None
    distinct_is_estimate: bool = False
    frequent: list[tuple[str, int]] = field(default_factory=list)

    @property
    def null_rate(self) -> float:
        """Share of the rows without a value, 0 to 1."""
        return self.nulls / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class RowStatistics:
    """The rows of one load.

    Attributes:
        rows: number of rows; of an entity that came more than once, each row that was the
            latest so far counts.
        loaded_at_us: when they went live, microseconds since 1970.
        source: where they came from.
        features: in the order of the view.
    """

    rows: int
    loaded_at_us: int
    source: str
    features: list[FeatureStatistics]


@dataclass(frozen=True, slots=True)
class ViewStatistics:
    """What is stored about the values of a view.

    Attributes:
        generation: of the rows, as the pointer names it.
        full: all rows of the last full load.
        increment: the rows of the last incremental load since; None if there was none. Rows of
            incremental loads before it are in neither.
    """

    generation: int
    full: RowStatistics | None
    increment: RowStatistics | None = None

    def to_json(self) -> bytes:
        """Returns the statistics as they are stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> ViewStatistics:
        """Returns the stored statistics.

        Raises:
            ValueError: they cannot be read.
        """
        try:
            content = json.loads(data)
            return cls(
                generation=int(content["generation"]),
                full=_rows(content["full"]),
                increment=_rows(content["increment"]),
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"statistics without {error}") from error


def _rows(content: dict[str, Any] | None) -> RowStatistics | None:
    if content is None:
        return None
    features = [
        FeatureStatistics(
            **{**feature, "frequent": [(text, count) for text, count in feature["frequent"]]}
        )
        for feature in content["features"]
    ]
    return RowStatistics(content["rows"], content["loaded_at_us"], content["source"], features)
