"""Where a scenario's loads go: a mesh of its own, or one that runs already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tailrace.cli.client_tls import client_tls
from tailrace.cli.event_feed import EventFeed
from tailrace.cli.local.errors import LaunchError
from tailrace.client import AsyncEventClient, Tls
from tailrace.loadtest.load_error import LoadError
from tailrace.loadtest.options.load_options import LoadOptions
from tailrace.loadtest.scenario.answer_readers import EVENTS, SUBMISSIONS
from tailrace.loadtest.scenario.load_section import LoadKind, LoadSection
from tailrace.loadtest.scenario.request_files import RowFiles, write_protoset
from tailrace.loadtest.scenario.scenario_mesh import ScenarioMesh
from tailrace.runtime.config import TransportSettings
from tailrace.runtime.pipeline.directory import load_directory
from tailrace.runtime.pipeline.plan import Pipeline

_READERS = {LoadKind.SUBMIT: SUBMISSIONS, LoadKind.EVENTS: EVENTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where loads go.

    Attributes:
        gateway: `HOST:PORT` of the gateway.
        events: `HOST:PORT` of the event service; empty if none is known.
        mesh: the mesh, if it was started here.
        pipelines: whose promises are known, by name.
        rows: what loads without data of their own send; None where there are none.
        folder: where files are written.
        transport: credentials for calling.
    """

    gateway: str
    events: str
    mesh: ScenarioMesh | None
    pipelines: Mapping[str, Pipeline]
    rows: RowFiles | None
    folder: Path
    transport: TransportSettings

    @property
    def tls(self) -> Tls | None:
        """For clients of the mesh; None for plaintext."""
        return client_tls(self.transport)

    def options(self, load: LoadSection, callback: str = "") -> LoadOptions:
        """Returns a load test, its data written.

        Args:
            load: what the scenario says.
            callback: where results of submissions are pushed to.

        Raises:
            LoadError: there is nothing to send, or nowhere to send it.
        """
        options = load.options(self._host(load))
        if load.kind is not LoadKind.CALL:
            protoset = write_protoset(self.folder / "tailrace.protoset")
            options = replace(options, protoset=protoset, reader=_READERS.get(load.kind, ""))
        if not load.own_data and load.kind is not LoadKind.CALL:
            if self.rows is None:
                raise LoadError(f"the load {load.name} has no data", "give it data, or a data-file")
            file = self.rows.write(load, callback)
            options = replace(
                options, data_file=file, disable_template_data=True, message_per_call=True
            )
        if self.transport.uses_tls:
            options = replace(
                options,
                insecure=False,
                cacert=self.transport.tls_ca_file,
                cert=self.transport.tls_certificate_file,
                key=self.transport.tls_key_file,
                cname=self.transport.tls_server_name or "",
            )
        return options

    async def feed_events(self) -> int:
        """Has the mesh take in the events that the example's rows need; returns how many."""
        if self.rows is None or not self.rows.replay.events or not self.events:
            return 0
        events = self.rows.replay.events
        async with AsyncEventClient(self.events, tls=self.tls) as client:
            await EventFeed(client, events).advance(events[-1].known_at)
        return len(events)

    def _host(self, load: LoadSection) -> str:
        if load.kind is not LoadKind.EVENTS:
            return self.gateway
        if not self.events:
            raise LoadError(
                f"the load {load.name} sends events, and no event service is known",
                "say where it listens: --events-target HOST:PORT",
            )
        return self.events


def read_pipelines(folder: Path) -> Mapping[str, Pipeline]:
    """Returns the pipelines of a folder by name. Raises LaunchError if one cannot be used."""
    if not folder.is_dir():
        raise LaunchError(f"there is no folder of pipelines {folder}")
    content = load_directory(folder)
    if content.errors:
        raise LaunchError("\n".join(str(error) for error in content.errors.values()))
    return content.pipelines


def needs_rows(loads: Sequence[LoadSection]) -> bool:
    """Returns whether any load sends what the example has."""
    return any(not load.own_data and load.kind is not LoadKind.CALL for load in loads)
