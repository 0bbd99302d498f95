"""The text that places hops."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tailrace.runtime.config import GatewaySettings, SettingsError, load_settings
from tailrace.runtime.placement import HOPS, parse_placement


@pytest.mark.parametrize("place", ["local", "remote"])
def test_one_word_places_all_hops(place: str) -> None:
    assert parse_placement(place) == dict.fromkeys(HOPS, place)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("ingest=local", {"ingest"}),
        ("ingest=local,postprocess=local", {"ingest", "postprocess"}),
        (" features = local , inference=remote ", {"features"}),
        ("inference=remote", set()),
    ],
)
def test_hops_that_are_not_named_are_remote(text: str, local: set[str]) -> None:
    places: Mapping[str, str] = parse_placement(text)
    assert set(places) == set(HOPS)
    assert {hop for hop in places if places[hop] == "local"} == local


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not ''"),
        ("lokal", "not 'lokal'"),
        ("ingest", "not 'ingest'"),
        ("ingest=here", "'ingest=here': a hop is placed `local` or `remote`, not 'here'"),
        ("ingst=local", "there is no hop 'ingst'; there are ingest, features, inference"),
        ("ingest=local,", "'' does not say HOP=PLACEMENT"),
        ("local,ingest=remote", "'local' does not say HOP=PLACEMENT"),
        ("ingest=local,ingest=remote", "ingest is placed twice"),
        ("LOCAL", "not 'LOCAL'"),
    ],
)
def test_what_places_nothing_is_refused_by_name(text: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_placement(text)
    assert told in str(caught.value)


def test_the_gateway_does_not_start_with_a_placement_that_is_none() -> None:
    with pytest.raises(SettingsError, match="TAILRACE_PLACEMENT: .*'ingst=local'"):
        load_settings(GatewaySettings, placement="ingst=local")
