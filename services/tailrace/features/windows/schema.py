"""What the store keeps of events for one windowed view, worked out once from its file."""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta

from tailrace.runtime.pipeline.aggregate import Aggregate, Condition
from tailrace.runtime.pipeline.feature import Feature
from tailrace.runtime.pipeline.feature_view import FeatureView

_US = timedelta(microseconds=1)


class Statistic(enum.Enum):
    """What a tile keeps of one input. Sums are of float64; see `WindowSchema`."""

    # Members are singletons; Enum's own hash is a Python call, and tables by statistic are read
    # with every lookup.
    __hash__ = object.__hash__

    COUNT = "count"
    SUM = "sum"
    M2 = "m2"
    """Sum of squared deviations from the tile's own mean (Welford)."""
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    LAST = "last"


_NEEDS: dict[str, tuple[Statistic, ...]] = {
    "count": (Statistic.COUNT,),
    "sum": (Statistic.SUM,),
    "mean": (Statistic.COUNT, Statistic.SUM),
    "stddev": (Statistic.COUNT, Statistic.SUM, Statistic.M2),
    "min": (Statistic.MIN,),
    "max": (Statistic.MAX,),
    "first": (Statistic.FIRST,),
    "last": (Statistic.LAST,),
    "distinct": (),
}


@dataclass(frozen=True, slots=True)
class EventInput:
    """What of an event goes into statistics.

    Attributes:
        of: the field; None for the event itself, which has the value 1.
        where: an event has no value where one of these does not hold.
    """

    of: str | None
    where: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class WindowFeature:
    """One feature of a windowed view.

    Attributes:
        feature: as the view declares it.
        aggregate: how it is made of events.
        level: number of its tile size.
        input: number of its input; among `distinct_inputs` for `distinct`, else `inputs`.
    """

    feature: Feature
    aggregate: Aggregate
    level: int
    input: int


@dataclass(frozen=True, slots=True)
class Level:
    """The tiles of one size.

    Attributes:
        tile_us: their size, microseconds.
        retained_tiles: so many tiles, counted back from the newest one of an entity, may still be
            read: the longest window, the allowed lateness and the bounded future.
        statistics: what each tile keeps, as pairs of an input's number and a statistic, sorted.
        distinct: numbers of the distinct inputs that each tile keeps.
        window_tiles: tiles of the longest window.
    """

    tile_us: int
    retained_tiles: int
    statistics: tuple[tuple[int, Statistic], ...]
    distinct: tuple[int, ...]
    window_tiles: int


@dataclass(frozen=True, slots=True)
class WindowSchema:
    """What the store keeps of events for one windowed view.

    Attributes:
        view: name of the view.
        schema_id: uint32, changes with whatever changes the meaning of what is stored.
        lateness_us: how far an event may lie behind the newest one of its entity, microseconds.
        reach_us: how far an instant may lie behind the newest event of an entity, microseconds, so
            that every window is kept whole: the allowed lateness and the bounded future.
        inputs: what of an event goes into counts, sums and so on.
        distinct_inputs: what of an event is counted by its distinct values.
        levels: by tile size, ascending.
        features: in the view's order.
    """

    view: str
    schema_id: int
    lateness_us: int
    reach_us: int
    inputs: tuple[EventInput, ...]
    distinct_inputs: tuple[EventInput, ...]
    levels: tuple[Level, ...]
    features: tuple[WindowFeature, ...]


def window_schema(view: FeatureView) -> WindowSchema:
    """Returns what the store keeps for a windowed view, one of the events that it is made of."""
    tiles = sorted({view.tile_of(feature) for feature in view.features})
    inputs: dict[str, tuple[int, EventInput]] = {}
    distinct: dict[str, tuple[int, EventInput]] = {}
    features: list[WindowFeature] = []
    for feature in view.features:
        aggregate = feature.aggregate
        assert aggregate is not None, "the view is windowed"
        chosen = EventInput(aggregate.of, tuple(aggregate.where))
        known = distinct if aggregate.function == "distinct" else inputs
        number, _ = known.setdefault(_input_text(chosen), (len(known), chosen))
        level = tiles.index(view.tile_of(feature))
        features.append(WindowFeature(feature, aggregate, level, number))
    slack = view.events.lateness + view.max_future
    return WindowSchema(
        view=view.view,
        schema_id=_schema_id(view),
        lateness_us=view.events.lateness // _US,
        reach_us=slack // _US,
        inputs=tuple(each for _, each in inputs.values()),
        distinct_inputs=tuple(each for _, each in distinct.values()),
        levels=tuple(
            _level(tile, [f for f in features if f.level == place], slack)
            for place, tile in enumerate(tiles)
        ),
        features=tuple(features),
    )


def _level(tile: timedelta, features: list[WindowFeature], slack: timedelta) -> Level:
    statistics = {
        (feature.input, statistic)
        for feature in features
        for statistic in _NEEDS[feature.aggregate.function]
    }
    distinct = {f.input for f in features if f.aggregate.function == "distinct"}
    longest = max(feature.aggregate.longest() for feature in features)
    return Level(
        tile_us=tile // _US,
        retained_tiles=-(-(longest + slack) // tile) + 2,
        statistics=tuple(sorted(statistics, key=lambda pair: (pair[0], pair[1].value))),
        distinct=tuple(sorted(distinct)),
        window_tiles=-(-longest // tile) + 1,
    )


def _input_text(chosen: EventInput) -> str:
    return json.dumps([chosen.of, [condition.model_dump() for condition in chosen.where]])


def _schema_id(view: FeatureView) -> int:
    """Returns the BLAKE2s hash, 4 bytes, of all that the stored tiles depend on."""
    content = [
        [key.model_dump(mode="json") for key in view.keys],
        [
            [f.name, f.type, f.aggregate.model_dump(mode="json")]
            for f in view.features
            if f.aggregate
        ],
        view.events.model_dump(mode="json"),
    ]
    text = json.dumps(content, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=4).digest(), "little")
