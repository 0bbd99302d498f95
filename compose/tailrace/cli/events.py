"""`tailrace events`: sends the events of files to an event service."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.cli.gateway_options import (
    GatewayOptions,
    MeshName,
    StateDir,
    TlsCa,
    TlsCertificate,
    TlsKey,
    TlsServerName,
    mesh_address,
    timeout_s,
)
from tailrace.cli.local.errors import LaunchError

if TYPE_CHECKING:
    from tailrace.runtime.pipeline.event_type import EventType

app = typer.Typer(help="Send events.", no_args_is_help=True, add_completion=False)


class EventTypeUnknown(LaunchError):
    """There is no such event type."""


EventName = Annotated[str, typer.Argument(help="Name of the event type.", metavar="TYPE")]
EventFile = Annotated[
    Path,
    typer.Option(
        help="The events, with columns id, event_time, known_at (may be left out) and the fields "
        "of the event type: .ndjson or .jsonl (a JSON object on each line; - is stdin), .csv or "
        ".parquet."
    ),
]
Target = Annotated[
    str | None,
    typer.Option(help="Where the event service listens, such as 127.0.0.1:50065; or give --name."),
]
EventsDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the event-type files; by default that of the mesh of --name, `events` "
        "beside TAILRACE_PIPELINES_DIR, or that of the mesh that is up."
    ),
]
Rejects = Annotated[
    Path | None, typer.Option(help="File for what was refused, and why: a JSON object a line.")
]
BatchEvents = Annotated[int, typer.Option(min=1, max=4096, help="Most events of one message.")]
Retry = Annotated[
    str, typer.Option(help="How long to try again while the service is unavailable, as 30s or 5m.")
]
Traceparent = Annotated[
    str, typer.Option(help="The span that they are sent in, as W3C's header of that name.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def send(
    event: EventName,
    file: EventFile,
    target: Target = None,
    name: MeshName = None,
    events_dir: EventsDir = None,
    rejects: Rejects = None,
    batch_events: BatchEvents = 500,
    retry: Retry = "1m",
    traceparent: Traceparent = "",
    as_json: AsJson = False,
    state_dir: StateDir = None,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_server_name: TlsServerName = None,
) -> None:
    """Send the events of a file, in the order in which they became known.

    What was sent before counts once. The exit status is 1 if an event was refused, or is not known
    to have been taken in.
    """
    options = GatewayOptions(
        target, name, state_dir, "5s", tls_ca, tls_certificate, tls_key, tls_server_name
    )
    _send(
        options, event, file, events_dir, rejects, batch_events, retry, None, traceparent, as_json
    )


@app.command()
def replay(
    event: EventName,
    file: EventFile,
    speed: Annotated[
        float, typer.Option(min=0.001, help="Seconds of known_at that pass in one second.")
    ] = 1.0,
    target: Target = None,
    name: MeshName = None,
    events_dir: EventsDir = None,
    rejects: Rejects = None,
    batch_events: BatchEvents = 500,
    retry: Retry = "1m",
    traceparent: Traceparent = "",
    as_json: AsJson = False,
    state_dir: StateDir = None,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_server_name: TlsServerName = None,
) -> None:
    """Send the events of a file as `send` does, at the pace at which they became known."""
    options = GatewayOptions(
        target, name, state_dir, "5s", tls_ca, tls_certificate, tls_key, tls_server_name
    )
    _send(
        options, event, file, events_dir, rejects, batch_events, retry, speed, traceparent, as_json
    )


def _send(
    options: GatewayOptions,
    event: str,
    file: Path,
    events_dir: Path | None,
    rejects: Path | None,
    batch_events: int,
    retry: str,
    speed: float | None,
    traceparent: str,
    as_json: bool,
) -> None:
    from tailrace.cli.event_sending import FileRun, send_file
    from tailrace.runtime.tracing.trace_context import read_traceparent

    if traceparent and read_traceparent(traceparent) is None:
        raise typer.BadParameter(
            f"expected a W3C traceparent such as 00-<32 digits>-<16 digits>-01, found {traceparent}"
        )
    retry_s = timeout_s(retry, "--retry")
    options, folder = _place(options, events_dir)
    run = FileRun(
        event_type=_event_type(event, folder),
        file=file,
        rejects=rejects,
        batch_events=batch_events,
        retry_s=retry_s,
        speed=speed,
        as_json=as_json,
        traceparent=traceparent,
    )
    raise typer.Exit(asyncio.run(send_file(options, run)))


def _place(options: GatewayOptions, events_dir: Path | None) -> tuple[GatewayOptions, Path]:
    """Returns whom to send to, by address, and the folder that says what the events are.

    What is taken from a mesh is told on stderr. Raises as `GatewayOptions.client`.
    """
    from tailrace.runtime.config import FeaturesSettings, load_settings
    from tailrace.runtime.pipeline.directory import events_directory, features_directory

    settings = load_settings(FeaturesSettings)
    pipelines = settings.pipelines_dir
    if options.target:
        # Refuses a name beside it.
        options.address("events")
        return options, events_dir or events_directory(features_directory(pipelines))
    mesh = options.mesh()
    if mesh.pipelines_dir and (options.name or "pipelines_dir" not in settings.model_fields_set):
        pipelines = mesh.pipelines_dir
    folder = events_dir or events_directory(features_directory(pipelines))
    target = mesh_address(mesh, "events")
    told = f"mesh {mesh.mesh}: sends to its event service at {target}, by the types of {folder}"
    print(told, file=sys.stderr)
    return replace(options, target=target, name=None), folder


def _event_type(name: str, folder: Path) -> EventType:
    from tailrace.runtime.pipeline.directory import load_event_types
    from tailrace.runtime.pipeline.problem import nearest

    if not folder.is_dir():
        expected = "name that of the event types: --events-dir"
        raise EventTypeUnknown(f"there is no folder {folder}; {expected}")
    types, errors = load_event_types(folder)
    if name in types:
        return types[name]
    problems = "".join(f"\n{error}" for error in errors.values())
    hint = nearest(name, types)
    suggestion = f"; did you mean {hint!r}?" if hint else ""
    raise EventTypeUnknown(f"no event type {name!r} in {folder}{suggestion}{problems}")
