"""The event types being served, with the views that are made of them; read anew as files change."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog

from tailrace.features.events.event_reader import EventReader
from tailrace.features.events.view_updates import ViewUpdates
from tailrace.runtime.errors import NotFound, Reason
from tailrace.runtime.pipeline.directory import (
    Signature,
    ViewFiles,
    directory_signature,
    events_directory,
    features_directory,
    load_views,
)
from tailrace.runtime.pipeline.event_type import EventType
from tailrace.runtime.pipeline.problem import nearest

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServedEvent:
    """One event type, compiled.

    Attributes:
        type: as its file says.
        reader: reads its events.
        views: the views that are made of it, by name.
    """

    type: EventType
    reader: EventReader
    views: dict[str, ViewUpdates]


class EventCatalog:
    """Event types by name. A file that is broken leaves what was served of it as it was."""

    def __init__(self, pipelines_dir: Path) -> None:
        """Keeps the folder of the pipeline files; views and event types are beside it."""
        self._pipelines = pipelines_dir
        self._features = features_directory(pipelines_dir)
        self._signature: Signature | None = None
        self._files = ViewFiles()
        self._served: dict[str, ServedEvent] = {}

    @property
    def types(self) -> dict[str, ServedEvent]:
        """The event types being served, by name."""
        return dict(self._served)

    def find(self, name: str) -> ServedEvent:
        """Returns an event type. Raises NotFound, with the nearest name."""
        served = self._served.get(name)
        if served is None:
            suggestion = nearest(name, self._served)
            hint = f"; did you mean {suggestion!r}?" if suggestion else ""
            raise NotFound(
                f"no event type {name[:64]!r}{hint}",
                field="event",
                reason=Reason.EVENT_TYPE_NOT_FOUND,
            )
        return served

    def load(self) -> None:
        """Reads the files now, if any has changed."""
        signature = directory_signature(self._pipelines)
        if signature == self._signature:
            return
        self._signature = signature
        files = load_views(self._features)
        for file, refused in files.errors.items():
            if str(self._files.errors.get(file)) != str(refused):
                _log.error("file refused", file=str(file), problems=str(refused))
        self._keep_what_broke(files)
        served = {name: self._compiled(name, files) for name in files.events}
        self._files, self._served = files, served

    async def watch(self, interval_s: float) -> None:
        """Looks for changed files every `interval_s` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await asyncio.to_thread(self.load)
            except OSError as error:
                # Such as a folder that went while it was being read: the next look tells.
                self._signature = None
                _log.warning("files cannot be read", exc_info=error)

    def _keep_what_broke(self, files: ViewFiles) -> None:
        before = self._files
        events = events_directory(self._features)
        if any(file.parent == events for file in files.errors):
            files.events = {**before.events, **files.events}
        for name, view in before.views.items():
            if name not in files.views and before.files[name] in files.errors:
                files.views[name] = view
                files.files[name], files.digests[name] = before.files[name], before.digests[name]

    def _compiled(self, name: str, files: ViewFiles) -> ServedEvent:
        event_type = files.events[name]
        before = self._served.get(name)
        same_type = before is not None and before.type == event_type
        views = {}
        for view_name, view in files.views.items():
            if view.kind != "windowed" or view.events.event != name:
                continue
            known = before.views.get(view_name) if before is not None and same_type else None
            if known is not None and self._files.digests[view_name] == files.digests[view_name]:
                views[view_name] = known
            else:
                views[view_name] = ViewUpdates(view, event_type)
        reader = before.reader if before is not None and same_type else EventReader(event_type)
        return ServedEvent(event_type, reader, views)
