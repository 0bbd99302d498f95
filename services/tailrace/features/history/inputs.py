"""What of an event a view's aggregates use, each once."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tailrace.features.history.conditions import number_sql, text_sql
from tailrace.runtime.pipeline.aggregate import Aggregate
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.feature_view import FeatureView


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a view.

    Attributes:
        numbers: SQL of each that is a number: column `number_<place>`, a DOUBLE.
        texts: SQL of each whose kinds are counted: column `text_<place>`, a VARCHAR.
        of_feature: the place of each feature's input, among `texts` for distinct, else `numbers`.
    """

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    of_feature: tuple[int, ...]

    def sql(self) -> str:
        """Returns the columns of all inputs as SQL selects them from events."""
        columns = [f"{sql} AS number_{place}" for place, sql in enumerate(self.numbers)]
        columns += [f"{sql} AS text_{place}" for place, sql in enumerate(self.texts)]
        return ", ".join(columns)


def view_inputs(view: FeatureView, event: EventType) -> Inputs:
    """Returns what of an event a windowed view's aggregates use."""
    numbers: dict[str, int] = {}
    texts: dict[str, int] = {}
    places = []
    for feature in view.features:
        aggregate = feature.aggregate
        assert aggregate is not None, "the view is windowed"
        if aggregate.function == "distinct":
            assert aggregate.of is not None, "checked when it was loaded"
            sql = text_sql(aggregate.of, aggregate.where)
            places.append(texts.setdefault(sql, len(texts)))
        else:
            sql = number_sql(aggregate.of, aggregate.where, event)
            places.append(numbers.setdefault(sql, len(numbers)))
    return Inputs(tuple(numbers), tuple(texts), tuple(places))


def window_text(aggregate: Aggregate) -> str:
    """Returns what tells windows apart, tile size aside."""
    return json.dumps([str(aggregate.window), aggregate.timezone])
