"""Feature-view files: the features of one entity."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, PrivateAttr, model_validator

from tailrace.runtime.pipeline.aggregate import MAX_TILE_SIZES, MAX_TILES
from tailrace.runtime.pipeline.base import Misfit, Name, SpecModel, shown
from tailrace.runtime.pipeline.duration import Duration, duration_text
from tailrace.runtime.pipeline.event_type import MAX_FUTURE, EventType
from tailrace.runtime.pipeline.feature import EntityKey, Feature
from tailrace.runtime.pipeline.view_source import EventSource, FeastSource, ViewSource

__all__ = ["EntityKey", "Feature", "FeatureView"]

MAX_VECTOR_BYTES = 512 * 1024
"""Most bytes of the vectors of one row."""

_US = timedelta(microseconds=1)
_NUMBERS = ("float32", "float64", "int64")


class FeatureView(SpecModel):
    """A named group of features of one entity.

    Attributes:
        view: name of the view.
        entity: kind of the entity.
        keys: name the entity.
        features: in the order in which lookups return those of one type.
        source: where the rows come from; None for a view that files are loaded into by hand.
        max_age: older features are stale.
        ttl: older features are missing.
        on_missing: what a lookup does where there is no entity: give defaults, give defaults and
            set the column `missing`, or fail the row.
        on_stale: the same for stale features, with the column `stale`; they are given as they
            are, and not as defaults.
        owner: who answers for it.
        tags: words to find it by.
    """

    view: Name
    description: str = ""
    entity: Name
    keys: list[EntityKey] = Field(min_length=1, max_length=8)
    features: list[Feature] = Field(min_length=1, max_length=1000)
    source: ViewSource | None = None
    max_age: Duration | None = None
    ttl: Duration | None = None
    on_missing: Literal["default", "flag", "fail"] = "default"
    on_stale: Literal["default", "flag", "fail"] = "default"
    owner: str = ""
    tags: list[str] = []
    # No part of the file: the event type says it.
    _max_future: timedelta = PrivateAttr(default=MAX_FUTURE)

    @property
    def kind(self) -> Literal["static", "windowed", "feast"]:
        """How the view is kept: loaded in batches, up to date from events, or by Feast."""
        if self.source is None or self.source.type in ("file", "sql"):
            return "static"
        return "windowed" if self.source.type == "events" else "feast"

    @property
    def events(self) -> EventSource:
        """The source of a windowed view."""
        assert isinstance(self.source, EventSource), "the view is windowed"
        return self.source

    @property
    def max_future(self) -> timedelta:
        """How far the events of a windowed view may lie in the future: see `of_events`."""
        return self._max_future

    def of_events(self, event_type: EventType) -> FeatureView:
        """Returns the view as one of events of this type."""
        view = self.model_copy()
        view._max_future = event_type.max_future
        return view

    @model_validator(mode="after")
    def _names_are_distinct(self) -> FeatureView:
        seen = set(self.flag_names())
        for place, feature in enumerate(self.features):
            if feature.name in self.flag_names():
                expected = f"another name: on_{feature.name}: flag makes a column of this one"
                raise Misfit(shown(feature.name), expected, at=f".features[{place}].name")
            if feature.name in seen:
                found = f"{shown(feature.name)} again"
                raise Misfit(found, "each feature once", at=f".features[{place}].name")
            seen.add(feature.name)
        keys: set[str] = set()
        for place, key in enumerate(self.keys):
            if key.name in keys:
                raise Misfit(f"{shown(key.name)} again", "each key once", at=f".keys[{place}].name")
            keys.add(key.name)
        return self

    @model_validator(mode="after")
    def _rows_are_small(self) -> FeatureView:
        size = sum((each.length or 0) * each.dtype.numpy.itemsize for each in self.features)
        if size > MAX_VECTOR_BYTES:
            expected = f"at most {MAX_VECTOR_BYTES} bytes a row"
            raise Misfit(f"vectors of {size} bytes together", expected, at=".features")
        return self

    @model_validator(mode="after")
    def _ages_are_in_order(self) -> FeatureView:
        if self.ttl is not None and self.max_age is not None and self.ttl < self.max_age:
            expected = f"at least max_age, {duration_text(self.max_age)}"
            raise Misfit(duration_text(self.ttl), expected, at=".ttl")
        return self

    @model_validator(mode="after")
    def _features_fit_source(self) -> FeatureView:
        for place, feature in enumerate(self.features):
            at = f".features[{place}]"
            if self.kind != "windowed":
                if feature.aggregate is not None:
                    expected = "none: only views whose source are events have one"
                    raise Misfit("an aggregate", expected, at=f"{at}.aggregate")
            elif feature.aggregate is None:
                raise Misfit("nothing", "how it is made of events", at=f"{at}.aggregate")
            else:
                self._check_window(feature, at)
        if self.source is not None and self.source.type == "events":
            self._check_names(self.source.keys, [key.name for key in self.keys], ".source.keys")
            self._check_tiles()
        if self.source is not None and self.source.type == "feast":
            names = [feature.name for feature in self.features]
            self._check_names(self.source.features, names, ".source.features")
            keys = [key.name for key in self.keys]
            self._check_names(self.source.join_keys, keys, ".source.join_keys")
            self._check_feast_keys(self.source)
        return self

    def tile_of(self, feature: Feature) -> timedelta:
        """Returns the size of the tiles of a windowed feature."""
        assert feature.aggregate is not None, "the view is windowed"
        return feature.aggregate.tile or self.events.tile

    def flag_names(self) -> list[str]:
        """Returns the names of the flag features that the policies add: missing, stale."""
        flags = []
        if self.on_missing == "flag":
            flags.append("missing")
        if self.on_stale == "flag":
            flags.append("stale")
        return flags

    def _check_window(self, feature: Feature, at: str) -> None:
        aggregate = feature.aggregate
        assert aggregate is not None, "checked"
        allowed: tuple[str, ...] = _NUMBERS
        if aggregate.function in ("count", "distinct"):
            allowed = ("int64", "float32", "float64")
        elif aggregate.function in ("mean", "stddev"):
            allowed = ("float32", "float64")
        elif aggregate.function in ("first", "last", "min", "max"):
            allowed = (*_NUMBERS, "bool", "timestamp")
        if feature.type not in allowed or feature.length is not None:
            expected = f"one of {', '.join(allowed)} for a {aggregate.function}"
            raise Misfit(feature.type, expected, at=f"{at}.type")
        tile = self.tile_of(feature)
        if isinstance(aggregate.window, timedelta) and aggregate.window % tile:
            expected = f"a multiple of the tile, {duration_text(tile)}"
            raise Misfit(duration_text(aggregate.window), expected, at=f"{at}.aggregate.window")
        if aggregate.longest() / tile > MAX_TILES:
            expected = f"at most {MAX_TILES} tiles: give the feature a larger tile of its own"
            found = f"{aggregate.longest() // tile} tiles of {duration_text(tile)}"
            raise Misfit(found, expected, at=f"{at}.aggregate.window")

    def _check_feast_keys(self, source: FeastSource) -> None:
        """Refuses keys that Feast's store cannot have."""
        join_keys: set[str] = set()
        for place, key in enumerate(self.keys):
            at = f".keys[{place}]"
            if key.type == "bool":
                expected = "string, int64 or timestamp, as Feast has no other keys"
                raise Misfit("a bool", expected, at=f"{at}.type")
            if key.type == "timestamp" and (key.granularity or _US) % timedelta(seconds=1):
                expected = "whole seconds, as Feast's keys have"
                found = "nothing" if key.granularity is None else duration_text(key.granularity)
                raise Misfit(found, expected, at=f"{at}.granularity")
            join_key = source.join_keys.get(key.name, key.name)
            if join_key in join_keys:
                expected = "each join key once"
                raise Misfit(f"{shown(join_key)} again", expected, at=".source.join_keys")
            join_keys.add(join_key)
        integers = [key.name for key in self.keys if key.type == "int64"]
        for name in source.int32_keys:
            if name not in integers:
                raise Misfit(shown(name), "keys of type int64", at=".source.int32_keys")

    def _check_tiles(self) -> None:
        sizes: set[timedelta] = set()
        for place, feature in enumerate(self.features):
            sizes.add(self.tile_of(feature))
            if len(sizes) > MAX_TILE_SIZES:
                found = f"a tile size of its own, {duration_text(self.tile_of(feature))}"
                expected = f"at most {MAX_TILE_SIZES} sizes of tiles in a view"
                raise Misfit(found, expected, at=f".features[{place}].aggregate.tile")

    @staticmethod
    def _check_names(given: dict[str, str], known: list[str], at: str) -> None:
        for name in given:
            if name not in known:
                raise Misfit(shown(name), f"one of: {', '.join(known)}", at=f"{at}.{name}")
