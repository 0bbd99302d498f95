"""What the options of `tailrace features history` ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailrace.cli.feature_options import FeaturesFailed, require_view
from tailrace.features.history.training_set import EventFile, StaticFile, ViewAt
from tailrace.features.load_errors import LoadFailed
from tailrace.features.load_input import FileInput, LoadInput, view_input
from tailrace.runtime.pipeline.directory import ViewFiles
from tailrace.runtime.pipeline.feature_view import FeatureView
from tailrace.runtime.pipeline.problem import nearest


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """The options that say what is computed from what, as they were given.

    Attributes:
        views: `VIEW` or `NAME=VIEW`.
        events: `FILE` or `EVENT=FILE`.
        rows: `VIEW=FILE`.
        timestamps: `VIEW=COLUMN`.
        keys: `NAME.KEY=COLUMN`.
    """

    views: Sequence[str]
    events: Sequence[str]
    rows: Sequence[str] = ()
    timestamps: Sequence[str] = ()
    keys: Sequence[str] = ()


def views_at(
    request: HistoryRequest, found: ViewFiles, open_files: contextlib.ExitStack
) -> list[ViewAt]:
    """Returns the views of a training set.

    Args:
        request: the options.
        found: the views and event types there are.
        open_files: closes what had to be opened.

    Raises:
        FeaturesFailed: the options do not say what is needed, or name what is not there.
    """
    wanted: dict[str, FeatureView] = {}
    for text in request.views:
        name, _, view = text.rpartition("=")
        require_view(view, found)
        if (name or view) in wanted:
            raise FeaturesFailed(
                f"--view {name or view} is there twice: give one a name, such as NAME={view}"
            )
        wanted[name or view] = found.views[view]
    events = _event_files(request.events, wanted, found)
    chosen = set(map(_view_name, wanted.values()))
    rows = _pairs("--rows", request.rows, chosen)
    timestamps = _pairs("--timestamp", request.timestamps, chosen)
    keys = _keys(request.keys, wanted)
    return [
        ViewAt(
            view,
            _events_of(view, events, found)
            if view.kind == "windowed"
            else _rows_of(view, rows, timestamps, found, open_files),
            name,
            keys.get(name, {}),
        )
        for name, view in wanted.items()
    ]


def _event_files(
    given: Sequence[str], wanted: Mapping[str, FeatureView], found: ViewFiles
) -> dict[str, Path]:
    needed = {view.events.event for view in wanted.values() if view.kind == "windowed"}
    files: dict[str, Path] = {}
    for text in given:
        event, has_name, file = text.partition("=")
        # A file's name may have a `=`, too.
        if has_name and event not in found.events and not Path(text).exists():
            hint = nearest(event, found.events)
            suggestion = f"; did you mean {hint!r}?" if hint else ""
            raise FeaturesFailed(
                f"--events {text}: there is no event type {event!r}, nor such a file{suggestion}"
            )
        if not has_name or event not in found.events:
            if len(needed) != 1:
                names = ", ".join(sorted(needed)) or "none of the views needs any"
                raise FeaturesFailed(
                    f"--events {text}: of which type? Write EVENT=FILE, for each of: {names}"
                )
            (event,), file = needed, text
        if event not in needed:
            raise FeaturesFailed(f"--events {text}: no view is made of events of type {event!r}")
        if event in files:
            raise FeaturesFailed(f"--events {text}: there is a file of {event!r} already")
        files[event] = Path(file)
    return files


def _events_of(view: FeatureView, files: Mapping[str, Path], found: ViewFiles) -> EventFile:
    event = view.events.event
    if event not in files:
        raise FeaturesFailed(
            f"view {view.view!r} is made of events of type {event!r}: name their file, "
            f"--events {event}=FILE"
        )
    return EventFile(found.events[event], files[event])


def _rows_of(
    view: FeatureView,
    rows: Mapping[str, str],
    timestamps: Mapping[str, str],
    found: ViewFiles,
    open_files: contextlib.ExitStack,
) -> StaticFile:
    source = view.source
    timestamp = timestamps.get(view.view)
    if timestamp is None and source is not None and source.type in ("file", "sql"):
        timestamp = source.timestamp
    if timestamp is None:
        raise FeaturesFailed(
            f"view {view.view!r} does not say when its rows were true, so that they cannot be told "
            f"from what was not known yet: name the column, --timestamp {view.view}=COLUMN"
        )
    names = [feature.name for feature in view.features]
    try:
        given: LoadInput = (
            FileInput(Path(rows[view.view]))
            if view.view in rows
            else view_input(view, found.files[view.view])
        )
        table = open_files.enter_context(
            given.table([key.name for key in view.keys], [*names, timestamp], timestamp, None)
        )
    except LoadFailed as failure:
        raise FeaturesFailed(str(failure)) from failure
    return StaticFile(table.path, timestamp)


def _pairs(option: str, given: Sequence[str], views: set[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        view, has_value, value = text.partition("=")
        if not has_value or view not in views:
            known = ", ".join(sorted(views))
            raise FeaturesFailed(f"{option} {text}: expected VIEW=..., with one of: {known}")
        pairs[view] = value
    return pairs


def _keys(given: Sequence[str], wanted: Mapping[str, FeatureView]) -> dict[str, dict[str, str]]:
    keys: dict[str, dict[str, str]] = {}
    for text in given:
        place, has_column, column = text.partition("=")
        name, _, key = place.rpartition(".")
        if not has_column or name not in wanted or key not in _key_names(wanted[name]):
            known = ", ".join(f"{n}.{k}" for n, view in wanted.items() for k in _key_names(view))
            raise FeaturesFailed(f"--key {text}: expected KEY=COLUMN, with one of: {known}")
        keys.setdefault(name, {})[key] = column
    return keys


def _key_names(view: FeatureView) -> list[str]:
    return [key.name for key in view.keys]


def _view_name(view: FeatureView) -> str:
    return view.view
