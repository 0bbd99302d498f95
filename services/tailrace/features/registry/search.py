"""Finds views and features by the words that describe them.

Texts are taken apart into lower-case words of letters and digits, so that `delay` occurs in
`mean_dep_delay_1h`. Of each word asked for, the place counts where it fits best: as a whole word,
as the beginning of one, or inside of one. All words have to occur somewhere.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tailrace.runtime.pipeline.feature import Feature
from tailrace.runtime.pipeline.feature_view import FeatureView

MAX_QUERY = 200
"""Most characters of a query."""
MAX_WORDS = 16
"""Most words of a query that count."""

_WEIGHTS = {
    "name": 10.0, "tag": 6.0, "entity": 5.0, "unit": 4.0, "owner": 4.0, "view": 3.0,
    "description": 2.0,
}  # fmt: skip
_WHOLE, _BEGINNING, _INSIDE = 1.0, 0.7, 0.4
_WORD = re.compile(r"[^\W_]+")
_MAX_SUGGESTIONS = 5
_NEAR = 0.6


@dataclass(frozen=True, slots=True)
class Hit:
    """A view or a feature that fits.

    Attributes:
        view: the view.
        feature: the feature; None if the view itself fits.
        places: where the words occur, the best first.
        score: how well it fits.
    """

    view: FeatureView
    feature: Feature | None
    places: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class _Entry:
    """What can be found, with its words by place."""

    view: FeatureView
    feature: Feature | None
    words: dict[str, tuple[str, ...]]


class SearchIndex:
    """The words of all views and features."""

    def __init__(self, views: Iterable[FeatureView]) -> None:
        """Takes the texts apart."""
        self._entries: list[_Entry] = []
        for view in views:
            self._entries.append(_Entry(view, None, _view_words(view)))
            self._entries += [
                _Entry(view, feature, _feature_words(view, feature)) for feature in view.features
            ]

    def find(self, query: str) -> list[Hit]:
        """Returns what fits all words of a query, the best first.

        A feature fits by a word of its own at least, not by those of its view alone.
        """
        asked = words_of(query)[:MAX_WORDS]
        hits = [hit for entry in self._entries if (hit := _fit(entry, asked)) is not None]
        hits.sort(key=lambda hit: (-hit.score, hit.view.view, _name(hit.feature)))
        return hits

    def suggestions(self, query: str) -> list[str]:
        """Returns words that do occur and are near to those of a query that do not."""
        vocabulary = dict.fromkeys(
            word for entry in self._entries for words in entry.words.values() for word in words
        )
        near: dict[str, None] = {}
        for asked in words_of(query)[:MAX_WORDS]:
            if not any(asked in word for word in vocabulary):
                near.update(
                    dict.fromkeys(difflib.get_close_matches(asked, vocabulary, cutoff=_NEAR))
                )
        return list(near)[:_MAX_SUGGESTIONS]


def words_of(text: str) -> list[str]:
    """Returns the words of a text, lower-case, each once."""
    return list(dict.fromkeys(_WORD.findall(text.lower())))


def _view_words(view: FeatureView) -> dict[str, tuple[str, ...]]:
    return _words(
        name=[view.view],
        tag=view.tags,
        entity=[view.entity, *(key.name for key in view.keys)],
        owner=[view.owner],
        description=[view.description],
    )


def _feature_words(view: FeatureView, feature: Feature) -> dict[str, tuple[str, ...]]:
    return _words(
        name=[feature.name],
        tag=feature.tags,
        unit=[feature.unit],
        owner=[feature.owner],
        description=[feature.description],
        view=[view.view, view.entity, view.owner, view.description, *view.tags],
    )


def _words(**texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {place: tuple(words_of(" ".join(each))) for place, each in texts.items()}


def _fit(entry: _Entry, asked: Sequence[str]) -> Hit | None:
    score = 0.0
    places: dict[str, float] = {}
    has_own = False
    for word in asked:
        fits = {
            place: _WEIGHTS[place] * _fit_word(word, words) for place, words in entry.words.items()
        }
        place = max(fits, key=lambda place: fits[place])
        if not fits[place]:
            return None
        has_own |= any(fit for place, fit in fits.items() if place != "view")
        score += fits[place]
        places[place] = max(fits[place], places.get(place, 0.0))
    if not has_own:
        return None
    return Hit(entry.view, entry.feature, tuple(sorted(places, key=lambda p: -places[p])), score)


def _fit_word(asked: str, words: Sequence[str]) -> float:
    best = 0.0
    for word in words:
        if asked in word:
            fit = _WHOLE if word == asked else _BEGINNING if word.startswith(asked) else _INSIDE
            best = max(best, fit)
    return best


def _name(feature: Feature | None) -> str:
    return "" if feature is None else feature.name
