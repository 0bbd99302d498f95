"""Searching views and features by words, and pages of names."""

from __future__ import annotations

import pytest

from tailrace.features.registry.paging import MAX_SIZE, page_of
from tailrace.features.registry.search import SearchIndex, words_of
from tailrace.runtime.pipeline.feature_view import FeatureView


def feature_view(name: str, features: dict[str, str], **parts: str) -> FeatureView:
    listed = [
        {"name": feature, "type": "float64", "description": text}
        for feature, text in features.items()
    ]
    return FeatureView.model_validate(
        {"view": name, "entity": "e", "keys": [{"name": "id"}], "features": listed, **parts}
    )


INDEX = SearchIndex(
    [
        feature_view("delays", {"mean": "Mean of all.", "largest": "Worst delay."}),
        feature_view("other", {"delay": "", "delayed": "", "undelayed": ""}, owner="delay-team"),
    ]
)


def found(query: str) -> list[tuple[str, str]]:
    return [(hit.view.view, hit.feature.name if hit.feature else "") for hit in INDEX.find(query)]


def test_a_whole_word_goes_before_a_beginning_and_that_before_an_inside() -> None:
    assert found("delay") == [
        ("other", "delay"),
        ("delays", ""),
        ("other", "delayed"),
        ("other", ""),
        ("other", "undelayed"),
        ("delays", "largest"),
    ]


def test_all_words_have_to_occur_and_case_does_not_matter() -> None:
    assert found("MEAN delays") == [("delays", "mean")]
    assert found("mean undelayed") == []
    assert found("delay_worst") == [("delays", "largest")]


def test_a_feature_is_not_found_by_the_words_of_its_view_alone() -> None:
    assert found("delays") == [("delays", "")]


def test_hits_tell_where_the_words_occur() -> None:
    (hit,) = INDEX.find("mean delays")
    assert hit.places == ("name", "view")


def test_words_that_occur_are_not_suggested_for() -> None:
    assert INDEX.suggestions("maen") == ["mean"]
    assert INDEX.suggestions("mean undelayed") == []
    assert INDEX.suggestions("xyzzy") == []


def test_words_are_of_letters_and_digits() -> None:
    assert words_of("Mean_delay-1h, ÜBER mean") == ["mean", "delay", "1h", "über"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_pages_hold_each_name_once(size: int) -> None:
    names = [f"n{number}" for number in range(7)]
    seen, token = [], ""
    while True:
        page, token = page_of(names, size, token)
        assert 0 < len(page) <= size
        seen += page
        if not token:
            break
    assert seen == names


def test_a_page_is_bounded_and_goes_on_where_names_have_gone() -> None:
    names = [f"n{number:05}" for number in range(5000)]
    assert len(page_of(names, 0, "")[0]) == 100
    assert len(page_of(names, 2**32 - 1, "")[0]) == MAX_SIZE
    assert page_of(["a", "c", "d"], 1, "b") == (["c"], "c")
    assert page_of([], 5, "") == ([], "")
