"""Statistics of a windowed view, of a sample of its entities at one instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tailrace.features.column_statistics import StatisticsCollector
from tailrace.features.feature_statistics import FeatureStatistics
from tailrace.features.pointer import Pointer
from tailrace.features.registry.entities import EntityReader
from tailrace.features.registry.stored_views import StoredViews
from tailrace.features.state import FeatureState

# So that decoding, on the event loop that lookups run on, holds them up for a few milliseconds.
_ENTITIES_AT_ONCE = 100


@dataclass(slots=True)
class WindowSample:
    """What was found of a sample.

    Attributes:
        entities: how many were looked at.
        complete: whether these are all that there are.
        at_us: the instant at which their windows end, microseconds since 1970.
        states: how many there are of each FeatureState; UNSPECIFIED are those that cannot be read.
        newest_us: time of the newest event of them all, microseconds since 1970; None if there
            is none.
        features: the values of those that are fresh or stale, in the order of the view.
    """

    entities: int
    complete: bool
    at_us: int
    states: dict[FeatureState, int]
    newest_us: int | None
    features: list[FeatureStatistics]


async def sample_windows(
    stored: StoredViews, reader: EntityReader, pointer: Pointer, limit: int, at_us: int
) -> WindowSample:
    """Returns statistics of at most `limit` entities of a windowed view at an instant.

    Raises:
        Unavailable: the store cannot be reached or cannot serve.
        FeaturesCorrupt: the view is stored under another definition.
    """
    view = reader.view
    scan = await stored.entities(view.view, pointer.generation, limit)
    collector = StatisticsCollector(view)
    states = dict.fromkeys(FeatureState, 0)
    newest_us: int | None = None
    for start in range(0, len(scan.keys), _ENTITIES_AT_ONCE):
        keys = scan.keys[start : start + _ENTITIES_AT_ONCE]
        instants = np.full(len(keys), at_us, np.int64)
        found, _ = await stored.read(reader.source, keys, instants)
        entities = reader.judge(found, instants)
        for state in FeatureState:
            states[state] += int((entities.states == state).sum())
        known = entities.as_of_us[[row is not None for row in found.rows]]
        known = known[known != 0]
        if len(known):
            newest_us = max(int(known.max()), known[0] if newest_us is None else newest_us)
        counts = np.isin(entities.states, (FeatureState.FRESH, FeatureState.STALE))
        collector.add(
            {name: values[counts] for name, values in entities.values.items()},
            {name: present[counts] for name, present in entities.present.items()},
        )
    return WindowSample(
        len(scan.keys), scan.complete, at_us, states, newest_us, collector.results()
    )
