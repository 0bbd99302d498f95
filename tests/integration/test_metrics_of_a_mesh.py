"""What a whole mesh says when it is scraped, and that nobody outside can make it say more."""

from __future__ import annotations

import re

import pytest

from tailrace.runtime import telemetry_names as names
from tailrace.runtime.metric_catalogue import CATALOGUE, SERVICES
from tests.support.hostile_names import send_hostile_names
from tests.support.label_values import values_said
from tests.support.observed_mesh import ObservedMesh
from tests.support.scraped_metrics import Scraped, Series, scrape
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(180)

# Metrics that have no series before something is wrong.
ONLY_IN_TROUBLE = {names.DISPATCHER_POSTPONED_TOTAL}
# Labels with values from an enumeration; which of them occur is a matter of timing.
ENUMERATED = {"code", "hop", "outcome", "quality", "reason", "state"}
# As many of each kind of name.
HOSTILE_NAMES = 25


def test_every_process_exposes_the_metrics_that_the_page_says(observed: ObservedMesh) -> None:
    scraped = {
        process.service: scrape(process.metrics_port)
        for process in observed.mesh.processes.values()
    }
    assert scraped.keys() == set(SERVICES)
    known = {entry.name: entry for entry in CATALOGUE}
    for service, found in scraped.items():
        assert not found.kinds.keys() - known.keys(), f"{service} has metrics that the page lacks"
        expected = {name for name, entry in known.items() if service in entry.processes}
        assert not expected - found.kinds.keys(), f"{service} lacks metrics of the page"
        for name, kind in found.kinds.items():
            assert kind == known[name].kind, (service, name)
        for name, labels in found.labels.items():
            assert labels == set(known[name].labels), (service, name)

    def all_counted() -> bool:
        # A delivery is given up, and the queue looked at, some time after what made it so.
        ports = [process.metrics_port for process in observed.mesh.processes.values()]
        counted = {name for port in ports for name in scrape(port).labels}
        return known.keys() - counted <= ONLY_IN_TROUBLE

    wait_for(all_counted)


def test_durations_lead_to_traces(observed: ObservedMesh) -> None:
    found = scrape(observed.mesh.processes["gateway"].metrics_port)
    for name in (names.PREDICTION_SECONDS, names.HOP_SECONDS, names.HOP_WORK_SECONDS):
        assert found.exemplars[name], name
        assert all(re.fullmatch("[0-9a-f]{32}", each) for each in found.exemplars[name])


def test_garbage_collection_is_counted_with_the_thresholds_of_a_service(
    observed: ObservedMesh,
) -> None:
    found = scrape(observed.mesh.processes["gateway"].metrics_port).series
    collections = {
        dict(labels)["generation"]: value
        for (name, labels), value in found.items()
        if name == "python_gc_collections_total"
    }
    # The one before it began to serve, at least, though all that it saw was frozen then.
    assert collections.keys() == {"0", "1", "2"}
    assert collections["2"] >= 1


def test_names_that_nobody_declared_make_no_series(observed: ObservedMesh) -> None:
    processes = observed.mesh.processes
    targets = processes["gateway"].target, processes["events"].target

    def series() -> dict[str, set[Series]]:
        return {name: chosen_in(scrape(each.metrics_port)) for name, each in processes.items()}

    send_hostile_names(*targets, number=0)
    before = series()
    for number in range(1, HOSTILE_NAMES):
        send_hostile_names(*targets, number=number)
    after = series()
    assert {name: after[name] - before[name] for name in processes} == {
        name: set() for name in processes
    }
    assert (names.PREDICTIONS_TOTAL, (("pipeline", "_OTHER"),)) in after["gateway"]


def chosen_in(scraped: Scraped) -> set[Series]:
    """Returns the series, by the labels whose values are names that somebody has chosen.

    The others have values of the enumerations that the page names, and no others.
    """
    said = {
        (name, label): values_said(entry, label)
        for entry in CATALOGUE
        for name in entry.series_names
        for label in ENUMERATED.intersection(entry.labels)
    }
    found = set()
    for name, labels in scraped.series:
        for label, value in labels:
            if label in ENUMERATED:
                assert value in said[name, label], (name, label)
        chosen = tuple(label for label in labels if label[0] not in ENUMERATED)
        if chosen:
            found.add((name, chosen))
    return found
