"""The command `tailrace`.

Every command imports what it needs when it is called: `serve` starts many processes at once,
and none of them has to wait for what only another command needs.
"""

from __future__ import annotations

import enum
import importlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from tailrace.cli.help_lines import join_help_lines
from tailrace.cli.local.errors import LaunchError
from tailrace.cli.predict import predict

# Where a gateway listens unless it is told otherwise.
GATEWAY_PORT = 50050

# Commands that are the `app` of a module each; most have commands of their own.
GROUPS = {
    name: f"tailrace.cli.{name}"
    for name in ("callbacks", "events", "features", "pipelines", "submissions", "submit")
} | {
    "example": "tailrace.cli.example_commands",
    "slo": "tailrace.cli.slo.commands",
}


class _Commands(typer.core.TyperGroup):
    """The commands below and those of `GROUPS`, whose modules are imported when asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *GROUPS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command: Any
        if cmd_name in GROUPS:
            command = typer.main.get_command(importlib.import_module(GROUPS[cmd_name]).app)
            command.name = cmd_name
        else:
            command = super().get_command(ctx, cmd_name)
        if command is not None:
            join_help_lines(command)
        return command


app = typer.Typer(
    name="tailrace",
    cls=_Commands,
    help="Machine-learning predictions through a mesh of small services with one deadline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Service(enum.StrEnum):
    """The processes of a mesh."""

    INGEST = "ingest"
    FEATURES = "features"
    INFERENCE = "inference"
    POSTPROCESS = "postprocess"
    GATEWAY = "gateway"
    DISPATCHER = "dispatcher"
    COURIER = "courier"
    EVENTS = "events"


class InferenceBackend(enum.StrEnum):
    """What runs the models."""

    TRITON = "triton"
    ONNXRUNTIME = "onnxruntime"


StateDir = Annotated[
    Path | None,
    typer.Option(help="Folder for state files, logs and caches; .tailrace by default."),
]


@app.command()
def serve(service: Annotated[Service, typer.Argument(help="Which process to run.")]) -> None:
    """Run one process of a mesh, with its settings from the environment."""
    from tailrace.cli.serve import serve as serve_service

    raise typer.Exit(serve_service(service))


@app.command()
def up(
    example_dir: Annotated[Path, typer.Argument(help="Folder with an example.yaml.")],
    once: Annotated[bool, typer.Option("--once", help="Try the mesh, report, and stop.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File to write the summary to, as JSON.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the mesh, where several run side by side.")
    ] = None,
    predictions: Annotated[
        int, typer.Option(min=1, help="How many held-out rows to predict.")
    ] = 5000,
    inference_backend: Annotated[
        InferenceBackend | None, typer.Option(help="What runs the models; triton by default.")
    ] = None,
    gpu: Annotated[
        bool | None,
        typer.Option("--gpu", help="Let Triton see the GPUs, and run the models made for them."),
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option(
            help="Where the hops run: remote (processes of their own, the default), local "
            "(inside the gateway), or HOP=local for some of them, with commas between."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="How many processes share the gateway's port; 1 by default.")
    ] = None,
    replicas: Annotated[
        list[str] | None,
        typer.Option(
            help="How many processes a hop has, as ingest=2; 1 by default. Repeatable, for other "
            "hops. If one of them ends, the whole mesh stops."
        ),
    ] = None,
    port: Annotated[
        list[str] | None,
        typer.Option(
            help="Port of the gateway, or of another process as NAME=PORT (ingest, features, "
            "inference, postprocess, dispatcher, courier, events, redis, queue-redis, triton; "
            "ingest-2 for a second replica); 0 for a free one. Repeatable. By default "
            f"{GATEWAY_PORT} for the gateway (0 with --once), a Unix socket for each Redis, and "
            "free ports for all others."
        ),
    ] = None,
    metrics_port: Annotated[
        list[str] | None,
        typer.Option(
            help="Likewise for metrics; free ports by default. Redis has none. Several workers "
            "take the numbers above the gateway's."
        ),
    ] = None,
    submissions: Annotated[
        bool | None,
        typer.Option(
            "--submissions/--no-submissions",
            help="Whether to run a queue Redis, a dispatcher and a courier; by default, yes.",
        ),
    ] = None,
    keep_queue: Annotated[
        bool | None,
        typer.Option(
            "--keep-queue",
            help="Keep what the queue holds for the next start of a mesh of this name; by default "
            "each starts empty.",
        ),
    ] = None,
    redis_server: Annotated[
        Path | None, typer.Option(help="redis-server to run; PATH's or the wheel's by default.")
    ] = None,
    triton_server: Annotated[
        Path | None, typer.Option(help="tritonserver to run; PATH's or the wheel's by default.")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Run a whole mesh on this machine, try it with real rows, and keep it up until Ctrl-C."""
    import uvloop
    from rich.console import Console

    from tailrace.cli.mesh_options import mesh_options
    from tailrace.cli.port_options import parse_ports, parse_replicas
    from tailrace.cli.up import UpOptions, default_name, run_up
    from tailrace.runtime.config import LauncherSettings, load_settings

    if keep_queue and submissions is False:
        raise typer.BadParameter("--keep-queue needs the queue that --no-submissions leaves out")
    settings = load_settings(
        LauncherSettings,
        **_given(
            inference_backend=inference_backend,
            gpu=gpu,
            placement=placement,
            workers=workers,
            replicas=parse_replicas(replicas) if replicas else None,
            submissions=submissions,
            keep_queue=keep_queue,
            redis_server_path=redis_server,
            triton_server_path=triton_server,
            state_dir=state_dir,
        ),
    )
    ports = {"gateway": 0 if once else GATEWAY_PORT, **settings.ports, **parse_ports(port or [])}
    metrics_ports = {**settings.metrics_ports, **parse_ports(metrics_port or [])}
    options = UpOptions(
        example_dir=example_dir,
        name=name or default_name(once),
        state_dir=settings.state_dir,
        once=once,
        json_file=json_file,
        predictions=predictions,
        mesh=mesh_options(settings, ports, metrics_ports),
    )
    raise typer.Exit(uvloop.run(run_up(options, Console())))


@app.command()
def status(
    name: Annotated[
        str | None, typer.Option(help="Name of the mesh; by default, all that are up.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: an object, or a list of several meshes.")
    ] = False,
    state_dir: StateDir = None,
) -> None:
    """Show whether the processes of meshes can serve; the exit status is 1 if one cannot."""
    import asyncio

    from rich.console import Console

    from tailrace.cli.local.state import read_state
    from tailrace.cli.mesh_folder import find_meshes
    from tailrace.cli.status import ask_mesh, print_status, status_summary
    from tailrace.runtime.config import LauncherSettings, load_settings

    settings = load_settings(LauncherSettings, **_given(state_dir=state_dir))
    states = [read_state(folder.state_path) for folder in find_meshes(settings.state_dir, name)]
    answers = [(state, asyncio.run(ask_mesh(state, settings))) for state in states]
    if as_json:
        summaries = [status_summary(state, statuses) for state, statuses in answers]
        print(json.dumps(summaries if len(summaries) > 1 else summaries[0], indent=2))
    for state, statuses in answers:
        if not as_json:
            print_status(Console(), state, statuses)
        if state.stale:
            gone = f"the `tailrace up` of {state.mesh}, pid {state.launcher.pid}, is gone; "
            print(f"{gone}the next one of this name clears away what it left", file=sys.stderr)
    serving = all(status.serving for _, statuses in answers for status in statuses)
    raise typer.Exit(0 if serving else 1)


@app.command()
def health(
    target: Annotated[
        str | None,
        typer.Argument(help="Where the process listens; by default as TAILRACE_PORT says."),
    ] = None,
) -> None:
    """Ask one process whether it can serve; the exit status is 1 if it cannot."""
    from tailrace.cli.health_check import check_health

    raise typer.Exit(check_health(target))


app.command()(predict)


class _Verbatim(typer.core.TyperCommand):
    """A command that reads its own arguments, and has a help of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return args


@app.command(cls=_Verbatim, add_help_option=False)
def load(context: typer.Context) -> None:
    """Call any gRPC method at a rate, with ghz's flags, and judge how it answers."""
    from tailrace.loadtest.options.command import main as load_main

    raise typer.Exit(load_main(context.args))


def main() -> None:
    """Runs the command line; what it cannot do, it says in a line and by its exit status."""
    from tailrace.runtime.config import SettingsError

    try:
        app()
    except (LaunchError, SettingsError) as error:
        if isinstance(error, LaunchError) and error.excerpt:
            print(error.excerpt, file=sys.stderr)
        sentence = error.sentence if isinstance(error, LaunchError) else error
        print(f"tailrace: error: {sentence}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
