"""The flight example's windowed features use what was known at the instant, and nothing else."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from preparation.data_set import PIPELINE, PIPELINES
from preparation.events import arrival_events, departure_events
from preparation.feature_matrix import load_example
from preparation.nycflights import read_table
from preparation.windowed import windowed_features
from tailrace.runtime.pipeline.directory import DirectoryContent
from tests.support.flights_by_hand import FlightsByHand, Row, scheduled_departure

pytestmark = pytest.mark.timeout(180)

SAMPLE = 300
# The clocks change in the nights before the 10th of March and the 3rd of November.
CHANGES = {("3", "10"), ("11", "3")}
# Of three departures within an hour, one leaves a mean that float32 rounds otherwise.
ROUNDING = 1e-6

Columns = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def by_hand() -> FlightsByHand:
    return FlightsByHand()


@pytest.fixture(scope="module")
def example() -> DirectoryContent:
    return load_example(PIPELINES)


@pytest.fixture(scope="module")
def events() -> dict[str, pd.DataFrame]:
    flights, airports = read_table("flights"), read_table("airports")
    return {
        "departure": departure_events(flights),
        "arrival": arrival_events(flights, airports),
    }


@pytest.fixture(scope="module")
def sample(by_hand: FlightsByHand) -> list[Row]:
    """Flights of the whole year, and some of the days after the clocks have changed."""
    generator = random.Random(7)
    of_changes = [each for each in by_hand.flights if (each["month"], each["day"]) in CHANGES]
    return generator.sample(by_hand.flights, SAMPLE) + generator.sample(of_changes, SAMPLE // 5)


def computed(
    example: DirectoryContent, events: dict[str, pd.DataFrame], flights: list[Row]
) -> Columns:
    """Returns the windowed features that the preparation trains on."""
    plans = [p for p in example.pipelines[PIPELINE].views if p.view.kind == "windowed"]
    at_us = np.array([round(scheduled_departure(each).timestamp() * 1e6) for each in flights])
    sources: Columns = {}
    for plan in plans:
        assert plan.instant is not None
        sources[plan.instant.column] = at_us
        for source in plan.keys:
            values = [each[source.name] for each in flights]
            sources[source.column] = np.array(values, dtype=object)
    return windowed_features(plans, sources, example.events, events)


def test_features_are_those_computed_by_hand_from_the_raw_tables(
    by_hand: FlightsByHand,
    example: DirectoryContent,
    events: dict[str, pd.DataFrame],
    sample: list[Row],
) -> None:
    found = computed(example, events, sample)
    expected = pd.DataFrame([by_hand.features(flight) for flight in sample])
    flags = {name for name in found if name.endswith(".missing")}
    assert set(found) - flags == set(expected.columns)
    for name in expected.columns:
        values = expected[name].to_numpy()
        np.testing.assert_allclose(found[name], values, rtol=ROUNDING, err_msg=name)
        assert 0.2 < np.isfinite(values).mean(), f"{name} is hardly ever there"
    for flag in flags:
        first = next(name for name in expected.columns if name.startswith(flag.partition(".")[0]))
        np.testing.assert_array_equal(found[flag], expected[first].isna(), err_msg=flag)


def test_what_becomes_known_soon_after_the_instant_would_be_noticed(
    by_hand: FlightsByHand, sample: list[Row]
) -> None:
    honest = pd.DataFrame([by_hand.features(flight) for flight in sample])
    # Sooner, no aircraft arrives elsewhere that is due to leave New York.
    soon = timedelta(hours=2)
    leaking = pd.DataFrame([by_hand.features(flight, soon) for flight in sample])
    differs = ~((honest == leaking) | (honest.isna() & leaking.isna()))
    assert differs.any().all(), "some feature would not tell"


def test_features_do_not_change_when_all_later_events_are_taken_away(
    example: DirectoryContent, events: dict[str, pd.DataFrame], sample: list[Row]
) -> None:
    whole = computed(example, events, sample)
    for place in (0, SAMPLE):
        at = scheduled_departure(sample[place])
        known = {name: table[table["known_at"] <= at] for name, table in events.items()}
        cut = computed(example, known, [sample[place]])
        for name, values in cut.items():
            np.testing.assert_array_equal(values, whole[name][place : place + 1], err_msg=name)
