"""`tailrace pipelines`: lists, checks and shows pipelines."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.cli.gateway_options import (
    GatewayOptions,
    MeshName,
    StateDir,
    Target,
    Timeout,
    TlsCa,
    TlsCertificate,
    TlsKey,
    TlsServerName,
)
from tailrace.cli.local.errors import LaunchError

if TYPE_CHECKING:
    from tailrace.v1.pipeline_pb2 import PipelineDescription

app = typer.Typer(
    help="List, check and show pipelines.", no_args_is_help=True, add_completion=False
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class PipelinesFailed(LaunchError):
    """A command could not do what it was asked to."""


@app.command("list")
def list_pipelines(
    target: Target = None,
    name: MeshName = None,
    timeout: Timeout = "2s",
    as_json: AsJson = False,
    state_dir: StateDir = None,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_server_name: TlsServerName = None,
) -> None:
    """List what a gateway serves; the exit status is 1 if a file of it is broken."""
    options = GatewayOptions(
        target, name, state_dir, timeout, tls_ca, tls_certificate, tls_key, tls_server_name
    )
    raise typer.Exit(asyncio.run(_list(options, as_json)))


@app.command()
def check(
    path: Annotated[
        Path, typer.Argument(help="A pipeline or view file, or a folder of them; needs no mesh.")
    ],
) -> None:
    """Check files: every problem with file, line, path in it, what is found and expected."""
    from tailrace.cli.pipeline_check import check_path

    report = check_path(path)
    for error in report.errors:
        print(error)
    for pipeline in report.pipelines:
        print(f"{pipeline.file}: pipeline {pipeline.name} {pipeline.version}: sound")
        for warning in report.warnings.get(pipeline.file, ()):
            print(f"{pipeline.file}: warning: {warning}")
    for file, view in report.views.items():
        print(f"{file}: view {view}: sound")
    raise typer.Exit(1 if report.errors else 0)


@app.command()
def show(
    pipeline: Annotated[
        str, typer.Argument(help="Name of a pipeline that a gateway serves, or a pipeline file.")
    ],
    target: Target = None,
    name: MeshName = None,
    timeout: Timeout = "2s",
    pipeline_version: Annotated[
        str, typer.Option(help="Version of the pipeline; the current one by default.")
    ] = "",
    as_json: AsJson = False,
    state_dir: StateDir = None,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    tls_server_name: TlsServerName = None,
) -> None:
    """Show what a pipeline takes, does and returns."""
    from google.protobuf.json_format import MessageToJson
    from rich.console import Console

    from tailrace.cli.pipeline_tree import pipeline_tree

    if Path(pipeline).suffix in (".yaml", ".yml"):
        description = _describe_file(Path(pipeline))
    else:
        options = GatewayOptions(
            target, name, state_dir, timeout, tls_ca, tls_certificate, tls_key, tls_server_name
        )
        description = asyncio.run(_describe(options, pipeline, pipeline_version))
    if as_json:
        print(MessageToJson(description, preserving_proto_field_name=True))
    else:
        Console(highlight=False).print(pipeline_tree(description))


async def _list(options: GatewayOptions, as_json: bool) -> int:
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from tailrace.client import PredictionError

    async with options.client() as client:
        try:
            summaries = await client.list_pipelines()
        except PredictionError as error:
            raise PipelinesFailed(str(error)) from error
    if as_json:
        print(json.dumps([asdict(summary) for summary in summaries], indent=2, ensure_ascii=False))
    else:
        table = Table("pipeline", "version", "predicts", box=None, pad_edge=False)
        for summary in summaries:
            if summary.version:
                table.add_row(summary.name, summary.version, summary.description)
        Console(highlight=False).print(table)
        for summary in summaries:
            if summary.load_error:
                kept = f"; {summary.version} stays" if summary.version else ""
                print(f"\n{summary.name}: its file is refused{kept}\n{summary.load_error}")
    return 1 if any(summary.load_error for summary in summaries) else 0


async def _describe(
    options: GatewayOptions, pipeline: str, pipeline_version: str
) -> PipelineDescription:
    from tailrace.client import PredictionError

    async with options.client() as client:
        try:
            return await client.describe_pipeline(pipeline, pipeline_version=pipeline_version)
        except PredictionError as error:
            raise PipelinesFailed(str(error)) from error


def _describe_file(file: Path) -> PipelineDescription:
    from tailrace.cli.pipeline_check import check_path
    from tailrace.runtime.pipeline.description import describe_pipeline

    report = check_path(file)
    if report.errors:
        raise PipelinesFailed("\n".join(str(error) for error in report.errors))
    if not report.pipelines:
        raise PipelinesFailed(f"{file} is no pipeline file")
    return describe_pipeline(report.pipelines[0])
