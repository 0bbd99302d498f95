"""Files with what loads send: the example's rows and events, and the methods that take them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tailrace.cli.example import HeldOutSection
from tailrace.cli.held_out import read_held_out, read_stretch
from tailrace.cli.known_events import KnownEvent, read_events
from tailrace.cli.preparation import PreparedExample
from tailrace.cli.replay import Replay, read_replay
from tailrace.client.json_values import to_json
from tailrace.client.values import to_value
from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.scenario.load_section import LoadKind, LoadSection
from tailrace.runtime.pipeline.plan import Pipeline
from tailrace.v1 import event_service_pb2, prediction_service_pb2

# Rows are asked for at instants after all events that are there when the load begins, and after
# those of the load itself: an instant too far behind the newest event is not kept.
_AFTER_EVENTS = timedelta(minutes=1)
_SPREAD_S = 60


def write_protoset(file: Path) -> Path:
    """Writes how Tailrace's public methods look, and returns the file."""
    found: dict[str, Any] = {}

    def add(descriptor: Any) -> None:
        for dependency in descriptor.dependencies:
            add(dependency)
        found[descriptor.name] = descriptor

    for module in (prediction_service_pb2, event_service_pb2):
        add(module.DESCRIPTOR)
    files = FileDescriptorSet()
    for descriptor in found.values():
        descriptor.CopyToProto(files.file.add())
    file.write_bytes(files.SerializeToString())
    return file


class RowFiles:
    """Rows and events of an example, as files of requests.

    Attributes:
        replay: rows, and the events that a mesh has to have taken in before they are asked for.
    """

    def __init__(
        self, prepared: PreparedExample, pipelines: Mapping[str, Pipeline], folder: Path
    ) -> None:
        """Reads the example's rows.

        Args:
            prepared: the example.
            pipelines: that it has.
            folder: where files are written.

        Raises:
            LaunchError: its files are not what its manifest says.
        """
        self._prepared = prepared
        self._pipelines = pipelines
        self._folder = folder
        section = prepared.example.manifest.held_out
        self._section = section
        self.replay = Replay((), ()) if section is None else self._read(section)

    def write(self, load: LoadSection, callback: str = "") -> Path:
        """Writes what a load sends, and returns the file: each call sends the next document.

        Args:
            load: without data of its own.
            callback: where results of submissions are pushed to.

        Raises:
            LoadError: the example has no rows for it.
        """
        if load.kind is LoadKind.EVENTS:
            # Of an array, a stream would be sent the whole.
            file, form = self._folder / f"{load.name}.ndjson", "{}\n"
            documents: Iterable[object] = self._event_batches(load)
        else:
            file, form = self._folder / f"{load.name}.json", "[{}]\n"
            documents = self._requests(load, callback)
        lines = [json.dumps(document, separators=(",", ":")) for document in documents]
        file.write_text(form.format((",\n" if form.startswith("[") else "\n").join(lines)))
        return file

    def _read(self, section: HeldOutSection) -> Replay:
        folder = self._prepared.folder
        fields = set(self._pipelines[section.pipeline].spec.request.fields)
        if section.replay is None:
            return Replay(read_held_out(folder / section.file, section, fields, 100_000), ())
        rows = read_stretch(folder / section.replay.file, section, fields)
        return read_replay(folder, section.replay, rows, len(rows))

    def _requests(self, load: LoadSection, callback: str) -> Iterator[object]:
        pipeline = self._pipelines.get(load.pipeline)
        example = self._prepared.example.manifest.example
        if pipeline is None:
            names = ", ".join(self._pipelines)
            raise LoadError(
                f"the load {load.name}: the example {example} has no pipeline {load.pipeline!r}",
                f"it has {names}",
            )
        if not self.replay.rows:
            raise LoadError(
                f"the load {load.name}: the example {example} has no rows to ask for",
                "give the load data, or a data-file",
            )
        asked = set(pipeline.spec.request.fields)
        rows = self.replay.rows
        for place in range(min(load.rows, len(rows))):
            row = rows[place * len(rows) // min(load.rows, len(rows))]
            fields = self._moved(row.fields, place)
            message = {
                "pipeline": load.pipeline,
                "priority": f"PRIORITY_{load.priority.upper()}",
                "fields": {
                    name: _value_json(value, name)
                    for name, value in fields.items()
                    if name in asked
                },
            }
            if load.kind is LoadKind.SUBMIT:
                yield {"submission": {"request": message, "callback": callback}}
            else:
                yield message

    def _moved(self, fields: Mapping[str, Any], place: int) -> dict[str, Any]:
        """Returns a row's fields with all its instants moved to just after the last event."""
        replay = self._section.replay if self._section else None
        if replay is None:
            return dict(fields)
        last = self.replay.rows[-1].instant
        assert last is not None
        by = last + _AFTER_EVENTS + timedelta(seconds=place % _SPREAD_S) - fields[replay.instant]
        return {
            name: value + by if isinstance(value, datetime) else value
            for name, value in fields.items()
        }

    def _event_batches(self, load: LoadSection) -> Iterator[object]:
        """Yields batches of events that happened after those of the replay, none of them twice."""
        if not self.replay.events or self._section is None or self._section.replay is None:
            raise LoadError(
                f"the load {load.name}: the example has no events to send",
                "name an example with events: --example",
            )
        seconds = load.duration.total_seconds()
        batches = load.total or round(load.rps * seconds * 1.2) + 10
        if not load.total and not load.rps:
            raise LoadError(
                f"the load {load.name}: events are made for a rate or a number of calls",
                "say rps, or total",
            )
        last = self.replay.events[-1].known_at
        later = self._later_events(last)
        types = sorted({event.type for event in later})
        by_type = {name: [event for event in later if event.type == name] for name in types}
        counts = dict.fromkeys(types, 0)
        step = _AFTER_EVENTS / (batches * load.batch)
        for batch in range(batches):
            name = types[batch % len(types)]
            events = []
            for place in range(load.batch):
                source = by_type[name][counts[name] % len(by_type[name])]
                counts[name] += 1
                instant = last + step * (batch * load.batch + place)
                events.append(_event_json(source, f"load-{batch}-{place}", instant))
            yield {"batch": str(batch), "event": name, "events": events}

    def _later_events(self, last: datetime) -> Sequence[KnownEvent]:
        assert self._section is not None and self._section.replay is not None
        files = {
            name: self._prepared.folder / file for name, file in self._section.replay.events.items()
        }
        # Some days: enough different planes and routes.
        return read_events(files, last, last + timedelta(days=3)) or self.replay.events


def _event_json(source: KnownEvent, event_id: str, instant: datetime) -> dict[str, object]:
    text = instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = {name: _value_json(value, name) for name, value in source.event.fields.items()}
    return {"id": event_id, "eventTime": text, "knownAt": text, "fields": fields}


def _value_json(value: Any, name: str) -> dict[str, object]:
    """Returns a `tailrace.v1.Value` in protobuf's JSON form."""
    message = to_value(value, name)
    kind = message.WhichOneof("kind")
    if kind is None:
        return {}
    return {kind: str(value) if kind == "int64_value" else to_json(value)}
